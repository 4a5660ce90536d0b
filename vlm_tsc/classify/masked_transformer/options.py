"""The command-line options of a run of the masked transformer on a dataset."""

from __future__ import annotations

from typing import Any, Literal

from vlm_tsc.classify.masked_transformer.hyperparameters import GROUP, Hyperparameters
from vlm_tsc.options import option
from vlm_tsc.settings import MAX_SEED, UserPath


def _search() -> Any:
    description = "Choose lr and epochs, those that are not given, among N settings on cases held out of train."
    return option(GROUP, None, description, unset="none", ge=1)


class _FromEncoder(Hyperparameters):
    """What both have."""

    encoder: str = option(
        GROUP,
        "default",
        "Folder of a pre-trained encoder; default: the shipped one; fresh: none.",
        metavar="DIR",
    )

    def hyperparameters(self) -> Hyperparameters:
        """Without what is only an option."""
        return Hyperparameters.of(self)


class TrainOptions(_FromEncoder):
    """Of a training on a table, as in the container."""

    search: int | None = _search()
    seed: int = option(GROUP, 0, "Seed of everything random.", ge=0, le=MAX_SEED)


class RunOptions(_FromEncoder):
    """Of `python eval/baselines.py masked-transformer --dataset NAME`."""

    enc_name: str | None = option(GROUP, None, "Name of a registered encoder.", metavar="NAME", unset="none")
    enc_ver: int | None = option(GROUP, None, "Its version.", unset="the newest", ge=1)
    enc_version: int | None = option(GROUP, None, "The same as --enc-ver.", unset="the newest", ge=1)
    allow_seen: bool = option(
        GROUP, False, "Take an encoder that was pre-trained on this very set or on test cases; the table says so."
    )
    search: int | None = _search()
    tsne: bool = option(GROUP, True, "Draw the test cases' embeddings by class into the run's folder.")
    report_to: Literal["none", "mlflow"] = option(GROUP, "none", "Who logs curves, figures and pictures.")
    gpu_id: int | None = option(GROUP, None, "GPU to compute on.", unset="the first", ge=0)
    seed: int = option(GROUP, 0, "Seed of everything random.", ge=0, le=MAX_SEED)
    conf_file: UserPath | None = option(
        GROUP, None, "YAML with any of these options; the command line wins.", metavar="FILE", unset="none"
    )
