"""InceptionTime's settings for a person's own table, chosen on its validation table, or on cases held out of it."""

from __future__ import annotations

import numpy as np

from vlm_tsc.archive.load import class_names
from vlm_tsc.archive.part import Part
from vlm_tsc.archive.policies import without_missing
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits, official
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.inception_time.options import TrainOptions
from vlm_tsc.evaluate.trained import Search, free_names, search_inception_time

NAME = "table"


def choose_on_table(options: TrainOptions, training: Part, validation: Part | None) -> Hyperparameters:
    """What `inception-time train --search N` trains with; see `search.choose`.

    Parameters
    ----------
    options : TrainOptions
        `search.json` and the study, by which an interrupted search goes on, are kept in its `model_dir`.
    validation : Part, optional
        Judges; without it, a fifth or three folds of the training table do, as in a run.

    Raises
    ------
    InputError
        When every hyperparameter is given, or a class has a single case.
    """
    assert options.search is not None
    search = Search(options.search, free_names(options))
    cases = _set(training, class_names([training]), "train")
    if validation is None:
        carved = official(cases.y, cases.n_cases, options.seed)
        held_out = None if carved.validation is None else cases.select(carved.validation)
        splits = Splits(cases.select(carved.train), held_out, cases.select(np.array([], dtype=int)), "official")
    else:
        splits = Splits(
            cases, _set(validation, cases.class_names, "validation"), cases.select(np.array([], dtype=int)), "official"
        )
    return search_inception_time(options.model_dir, splits, options.hyperparameters(), search, options.seed)


def _set(part: Part, names: tuple[str, ...], which: str) -> SeriesSet:
    ids = tuple(f"{which}-{i:05d}" for i in range(len(part.cases)))
    return SeriesSet(without_missing(part, "error"), np.array(part.labels), names, NAME, ids)
