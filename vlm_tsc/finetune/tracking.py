"""Where `--report-to` writes the training curves: beside the runs, and without an account.

Hugging Face's callbacks do the logging and read their settings from the environment; what a user has set there stays.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_PROJECT = "vlm-tsc"


@contextmanager
def tracking(report_to: str, runs: Path, run: Path) -> Iterator[None]:
    """Prepare the environment of the callback `report_to` (none, wandb, mlflow, tensorboard), and close its run.

    Parameters
    ----------
    runs : Path
        Folder of all runs: MLflow keeps one database for them, so that runs can be compared.
    run : Path
        Folder of this run: Weights & Biases and TensorBoard write into it.
    """
    if report_to == "none":
        yield
        return
    defaults = {
        "wandb": {"WANDB_DIR": str(run), "WANDB_PROJECT": _PROJECT},
        "mlflow": {
            "MLFLOW_TRACKING_URI": f"sqlite:///{(runs / 'mlflow.db').resolve()}",
            "MLFLOW_EXPERIMENT_NAME": _PROJECT,
        },
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(run / "tensorboard")},
    }[report_to]
    if report_to == "wandb" and not os.environ.get("WANDB_MODE") and (why := _cannot_log_in()):
        defaults["WANDB_MODE"] = "offline"
        log.warning("Weights & Biases logs offline into %s: %s", run / "wandb", why)
    added = {name: value for name, value in defaults.items() if not os.environ.get(name)}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:  # the next seed has a folder of its own
            del os.environ[name]
        if report_to == "wandb":
            import wandb

            wandb.finish()


def _cannot_log_in() -> str | None:
    """Why the curves cannot go to a Weights & Biases account now; None when they can. Never asks."""
    import wandb
    from wandb.errors import Error

    try:
        return None if wandb.login(prompt=False) else "not logged in (`wandb login`)"
    except Error as error:  # a wrong key, or no network
        return str(error)
    finally:
        wandb.teardown()  # it has read the environment, which is about to change
