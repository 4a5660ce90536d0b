"""The command-line options of InceptionTime: of a run on a dataset, of `train` and of `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vlm_tsc.classify.inception_time.hyperparameters import GROUP, Hyperparameters
from vlm_tsc.options import option
from vlm_tsc.settings import MAX_SEED, UserPath


class RunOptions(Hyperparameters):
    """Of every way to train it."""

    preset: Literal["paper", "seed"] = option(
        GROUP, "paper", "The paper's hyperparameters, or those of the SageMaker algorithm (100 epochs)."
    )
    seed: int = option(GROUP, 0, "Seed of everything random.", ge=0, le=MAX_SEED)
    search: int | None = option(
        GROUP,
        None,
        "Choose filters, depth, lr and batch_size, those that are not given, among N settings on cases held out of "
        "train (or on the validation table); then train on all of it.",
        unset="none",
        ge=1,
    )

    def hyperparameters(self) -> Hyperparameters:
        """Without what is only an option."""
        return Hyperparameters.of(self)


class DatasetOptions(RunOptions):
    """Of `python eval/baselines.py inception-time --dataset NAME`, which holds cases out of train itself."""

    start_from: UserPath | None = option(
        GROUP, None, "Run or model folder to go on from, of the same sizes and channels.", metavar="DIR", unset="none"
    )
    allow_seen: bool = option(
        GROUP, False, "Go on from a model that was trained on test cases of this set too; the table says so."
    )


class TrainOptions(RunOptions):
    """Of `… inception-time train`."""

    training: UserPath = option("files", Path(), "Table of labelled series.", metavar="FILE.csv", unset="needed")
    validation: UserPath | None = option(
        "files", None, "Another one, for the log and a search.", metavar="FILE.csv", unset="none"
    )
    model_dir: UserPath = option("files", Path(), "Folder for the model.", metavar="DIR", unset="needed")
    start_from: UserPath | None = option(
        "files", None, "Folder of an earlier model, to go on from its weights.", metavar="DIR", unset="none"
    )


class PredictOptions(BaseModel):
    """Of `… inception-time predict`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_dir: UserPath = option("files", Path(), "Folder of a trained model.", metavar="DIR", unset="needed")
    input: UserPath = option("files", Path(), "Table of series without labels.", metavar="FILE.csv", unset="needed")
    output: UserPath = option("files", Path(), "Where the answers go.", metavar="FILE.csv", unset="needed")
    probabilities: bool = option("files", False, "Write the probability of every class instead of the class.")
