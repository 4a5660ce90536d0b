"""`python eval/baselines.py inception-time train` and `… predict`: from tables to a model folder to answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from vlm_tsc.archive.formats import read, read_unlabelled
from vlm_tsc.archive.load import class_names
from vlm_tsc.archive.part import Part
from vlm_tsc.archive.policies import without_missing
from vlm_tsc.archive.samples import n_value_columns
from vlm_tsc.archive.unlabelled import table_width
from vlm_tsc.classify.inception_time.hyperparameters import PRESETS, Hyperparameters
from vlm_tsc.classify.inception_time.options import PredictOptions, TrainOptions
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_text
from vlm_tsc.launcher import refuse_several
from vlm_tsc.options import model_from_cli
from vlm_tsc.terminal import answer, say

PROG = "eval/baselines.py inception-time"
TRAIN = "Train InceptionTime on a table: the class, then the values; or columns sample, feature, y_*, x_*."
PREDICT = (
    "Answer a table of series: the values alone, as many as the model was trained on; or columns sample, feature, x_*."
)


class Choose(Protocol):
    """Of a later stage, which this one does not know: options, cases, cases to judge by → the chosen settings."""

    def __call__(self, options: TrainOptions, training: Part, validation: Part | None) -> Hyperparameters: ...


def train(argv: Sequence[str], choose: Choose | None = None) -> None:
    """Table → model folder; a run that was interrupted goes on.

    `choose` does what `--search` asks for: `evaluate.search_table.choose_on_table`.

    Raises
    ------
    InputError
        For every way in which options, tables or folders can be wrong.
    """
    required = ("training", "model_dir")
    options = model_from_cli(
        argv, TrainOptions, prog=f"{PROG} train", description=TRAIN, required=required, presets=PRESETS
    )
    part, X = _cases(options.training, "--training")
    classes = list(class_names([part]))
    if len(classes) < 2:
        raise InputError("all cases are of one class", where=options.training, got=classes[0], allowed="at least 2")
    held_out = validation = None
    if options.validation is not None:
        held_out, X_validation = _cases(options.validation, "--validation")
        _same_channels(held_out, part)
        validation = X_validation, _codes(held_out, classes)
    if options.start_from is not None and options.start_from.resolve() == options.model_dir.resolve():
        raise InputError("a model cannot go on from itself", where="--start-from", allowed="another folder")
    if options.search and options.start_from is not None:
        what = "a search chooses sizes and begins anew"
        raise InputError(what, where="--search, --start-from", fix="leave one of them out")
    hyperparameters = options.hyperparameters()
    if options.search:
        assert choose is not None  # every command gives it
        hyperparameters = choose(options, part, held_out)
    from vlm_tsc.classify.inception_time.ensemble import Ensemble, train_ensemble  # torch takes seconds
    from vlm_tsc.classify.ranks import join_processes

    ranks = join_processes()
    start = options.start_from
    train_ensemble(
        X,
        _codes(part, classes),
        classes,
        hyperparameters,
        random_state=options.seed,
        validation=validation,
        folder=options.model_dir,
        start=None if start is None else Ensemble.read(start),
    )
    if ranks.is_first:
        say(f"{len(X)} cases, {len(classes)} classes; the model and its log.jsonl are in {options.model_dir}")
        answer(model_dir=str(options.model_dir), n_cases=len(X), class_names=classes, notes=[])


def predict(argv: Sequence[str]) -> None:
    """Model folder and table → table of answers, one line a case, in the order of the input.

    Classes stand without a header; probabilities below the names of their classes.

    Raises
    ------
    InputError
        For every way in which options, table or folder can be wrong.
    """
    required = ("model_dir", "input", "output")
    options = model_from_cli(argv, PredictOptions, prog=f"{PROG} predict", description=PREDICT, required=required)
    refuse_several("predict runs in one process", fix="start it without a launcher")
    _exists(options.input, "--input")
    from vlm_tsc.classify.inception_time.ensemble import Ensemble

    model = Ensemble.read(options.model_dir)
    part = read_unlabelled(options.input)
    _fits(part, model.n_channels, model.n_timepoints)
    probabilities = model.probabilities(without_missing(part, "error"))
    names = [model.classes[i] for i in probabilities.argmax(axis=1)]
    lines = [model.classes, *probabilities.tolist()] if options.probabilities else [[name] for name in names]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(options.output, text.getvalue())
    say(f"{len(names)} cases answered in {options.output}")
    answer(output=str(options.output), n_cases=len(names), notes=[])


def _exists(path: Path, option: str) -> None:
    if not path.is_file():
        raise InputError("there is no such file", where=option, got=path)


def _cases(path: Path, option: str) -> tuple[Part, list[np.ndarray]]:
    _exists(path, option)
    part = read(path)
    return part, without_missing(part, "error")


def _codes(part: Part, classes: Sequence[str]) -> np.ndarray:
    """Position of each label in `classes`; a label that is not there is an error with its line."""
    position = {name: i for i, name in enumerate(classes)}
    for i, label in enumerate(part.labels):
        if label not in position:
            what = "a class that the training table lacks"
            raise InputError(what, where=part.place(i), got=label, allowed=classes)
    return np.array([position[label] for label in part.labels])


def _same_channels(part: Part, other: Part) -> None:
    got, allowed = len(part.cases[0]), len(other.cases[0])
    if got != allowed:
        raise InputError("tables differ in their number of channels", where=part.path, got=got, allowed=allowed)


def _fits(part: Part, n_channels: int, n_timepoints: int) -> None:
    """Raise InputError unless the table is of the kind the model was trained on."""
    n = len(part.cases[0])
    if n != n_channels:
        raise InputError("the model takes another number of channels", where=part.path, got=n, allowed=n_channels)
    # the columns and not the values in them count: an empty last cell ends a shorter series, and may hide a label
    width = table_width(part.path)
    headed = width is None
    width = n_value_columns(part.path) if width is None else width
    longest = max(case.shape[1] for case in part.cases)
    if width == n_timepoints or (headed and longest <= n_timepoints <= width):
        return
    fix = None if headed or width <= n_timepoints else "remove the column of labels, or those that are always empty"
    got = f"{width} {'x_* ' if headed else ''}columns"
    allowed = f"{n_timepoints}, the values of the training table"
    raise InputError("the table does not fit the model", where=part.path, got=got, allowed=allowed, fix=fix)
