"""A network's settings for a person's own table, chosen on its validation table, or on cases held out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlm_tsc.archive.load import class_names
from vlm_tsc.archive.part import Part
from vlm_tsc.archive.policies import without_missing
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits, official
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.inception_time.options import TrainOptions
from vlm_tsc.classify.masked_transformer import hyperparameters as masked_hyperparameters
from vlm_tsc.classify.masked_transformer import options as masked_options
from vlm_tsc.evaluate.inception_time import search_inception_time
from vlm_tsc.evaluate.search import INCEPTION_TIME
from vlm_tsc.evaluate.search_masked import SEARCHED
from vlm_tsc.evaluate.trained import search_of

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
    search = search_of(options.search, INCEPTION_TIME, options.model_fields_set)
    assert search is not None
    splits = _splits(training, validation, options.seed)
    return search_inception_time(options.model_dir, splits, options.hyperparameters(), search, options.seed)


def choose_masked_on_table(
    options: masked_options.TrainOptions, folder: Path, training: Part
) -> masked_hyperparameters.Hyperparameters:
    """The same for the masked transformer, whose training on a table holds cases out of it itself.

    Parameters
    ----------
    folder : Path
        The model's; see above.

    Raises
    ------
    InputError
        When there is nothing to choose, or a class has a single case.
    """
    from vlm_tsc.classify.masked_transformer.encoder_folder import find_encoder  # torch takes seconds
    from vlm_tsc.evaluate.masked import search_from_encoder

    hyperparameters, encoder = options.hyperparameters(), find_encoder(options.encoder)
    search = search_of(options.search, SEARCHED, options.model_dump(exclude_none=True))
    assert search is not None
    of_encoder = {"encoder_sha256": encoder and encoder.facts["sha256"]}
    splits = _splits(training, None, options.seed)
    return search_from_encoder(folder, splits, hyperparameters, search, encoder, of_encoder, options.seed)


def _splits(training: Part, validation: Part | None, seed: int) -> Splits:
    """The table's cases, and those to judge by; none to test."""
    cases = _set(training, class_names([training]), "train")
    none = cases.select(np.array([], dtype=int))
    if validation is not None:
        return Splits(cases, _set(validation, cases.class_names, "validation"), none, "official")
    carved = official(cases.y, cases.n_cases, seed)
    held_out = None if carved.validation is None else cases.select(carved.validation)
    return Splits(cases.select(carved.train), held_out, none, "official")


def _set(part: Part, names: tuple[str, ...], which: str) -> SeriesSet:
    ids = tuple(f"{which}-{i:05d}" for i in range(len(part.cases)))
    return SeriesSet(without_missing(part, "error"), np.array(part.labels), names, NAME, ids)
