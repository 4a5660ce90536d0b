"""A run in Weights & Biases: with an account, or offline in the run's folder until somebody sends it."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlm_tsc.tracking.facts import About, Results
from vlm_tsc.tracking.state import State

log = logging.getLogger(__name__)

PROJECT = "vlm-tsc"


class WandbTracker:
    """What a user has set in the environment (WANDB_MODE, WANDB_PROJECT, WANDB_DIR …) stays; nobody is asked to log in.

    An offline run that is gone on with has several folders of one id, which `wandb sync` joins.
    """

    def __init__(self, about: About, state: State):
        import wandb

        self.about = about
        self.folder = Path(os.environ.get("WANDB_DIR") or about.run.path).resolve()
        if state.where != str(self.folder):
            state.begin(secrets.token_hex(4), str(self.folder))
        usual: dict[str, Any] = {"project": PROJECT, "dir": str(self.folder), "mode": self._mode(state)}
        given = {name for name in usual if os.environ.get(f"WANDB_{name.upper()}")}
        calm = {name: value for name, value in _CALM.items() if f"WANDB_{name.upper()}" not in os.environ}
        self.run: Any = wandb.init(
            id=state.id,
            name=about.name,
            config=dict(about.parameters),
            resume="allow",
            reinit="create_new",  # a run that is not ours goes on
            settings=wandb.Settings(**calm),
            **{name: value for name, value in usual.items() if name not in given},
        )
        state.url = None if self.run.offline else self.run.url
        if self.run.offline:
            state.how = f"offline; to send it: wandb sync {_shown(self.folder)}/wandb/offline-run-*-{state.id}"

    def _mode(self, state: State) -> str | None:
        if os.environ.get("WANDB_MODE"):
            return None
        if state.how:  # was offline when it began
            return "offline"
        if why := _cannot_log_in():
            log.warning("Weights & Biases logs offline into %s: %s", self.folder / "wandb", why)
            return "offline"
        return "online"

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.run.log(dict(figures), step=step)

    def results(self, results: Results) -> None:
        import wandb

        self.run.summary.update(results.figures)
        media: dict[str, Any] = {"test/confusion_matrix": wandb.Image(str(results.picture))}
        if self.about.run.report in results.files:
            media["report"] = wandb.Html(str(self.about.run.report))
        self.run.log(media, step=results.step)
        name = re.sub(r"[^\w.-]", "-", self.about.name, flags=re.ASCII)[:100]
        with _staged_in(self.folder / "wandb"):
            files = wandb.Artifact(f"{name}-results", type="results")
            for path in (*results.files, results.picture, results.matrix_file):
                files.add_file(str(path), skip_cache=True)
            adapter = wandb.Artifact(f"{name}-adapter", type="model")
            folder = self.about.run.adapter
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                name = path.relative_to(folder).as_posix()
                adapter.add_file(str(path), name, skip_cache=True, policy="immutable")  # no copy of gigabytes
            for artifact in (files, adapter):
                self.run.log_artifact(artifact)

    def close(self, outcome: str) -> None:
        self.run.finish(exit_code=int(outcome == "failed"))


_CALM: dict[str, Any] = {"silent": True, "console": "off"}  # we say ourselves where the run is


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """Within, copies of an artifact's files that wait to be sent are kept beside the offline run, not in the home."""
    if os.environ.get("WANDB_DATA_DIR"):
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def _shown(folder: Path) -> str:
    """Relative to where the command was typed, if it is below."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def _cannot_log_in() -> str | None:
    """Why runs cannot go to a Weights & Biases account now; None when they can. Never asks."""
    import wandb
    from wandb.errors import Error

    try:
        return None if wandb.login(prompt=False) else "not logged in (`wandb login`)"
    except Error as error:  # a wrong key, or no network
        return str(error)
