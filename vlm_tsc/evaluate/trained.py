"""A baseline that is trained, as a run of its own: like a classical one, but seeded, resumable, its model kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.baseline import (
    STAGE,
    Answered,
    NotRun,
    baseline_folder,
    config_text,
    run_baseline,
    say_asked,
    write_run,
)
from vlm_tsc.evaluate.metrics import read_metrics
from vlm_tsc.manifest import begin_stage, check_stage, data_hash, finish_stage
from vlm_tsc.run import RunFolder
from vlm_tsc.settings import USUAL_BASE

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

NAME = "inception-time"
PROBES = {"vision-probe": "vision", "decoder-probe": "decoder"}  # → which part of the base they read


def run_named(
    name: str,
    splits: Splits,
    runs: Path | str,
    *,
    seed: int,
    given: Mapping[str, Any],
    limit_s: float | None,
    base: str = USUAL_BASE,
    shown: Mapping[str, Any] | None = None,
) -> dict[str, Any] | NotRun:
    """Any baseline by its name: a trained one with its own defaults, else as `run_baseline` does.

    `base` and `shown`, how its cases are shown, are for the linear probes.
    """
    if name in PROBES:
        from vlm_tsc.evaluate.probes import run_probe  # builds on this module

        return run_probe(name, splits, runs, base, shown, given=given)
    if name == NAME:
        from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
        from vlm_tsc.evaluate.inception_time import run_inception_time  # builds on this module

        return run_inception_time(splits, runs, Hyperparameters(), seed=seed, given=given)
    if name == "masked-transformer":
        from vlm_tsc.classify.masked_transformer.options import RunOptions
        from vlm_tsc.evaluate.masked import run_with_options  # builds on this module

        return run_with_options(RunOptions(seed=seed), splits, Path(runs), given)
    return run_baseline(name, splits, runs, seed=seed, given=given, limit_s=limit_s)


@dataclass(frozen=True)
class Method:
    """A classifier as `run_trained` needs it.

    Attributes
    ----------
    name : str
        In metrics.json and tables.
    run : str
        Name of the run's folder.
    parameters : mapping
        JSON values that, with series and seed, determine the figures.
    fit_and_answer : callable
        run folder → probabilities of the test cases; keeps its model in the folder's `model/`.
    facts : mapping
        What metrics.json says besides.
    pictures : sequence of str
        Files that `fit_and_answer` writes into the run's folder besides the model.
    validation : SeriesSet, optional
        Cases that it looks at besides those it trains on.
    asked : mapping
        What config.yaml says besides, or instead of `parameters`: what a search chose differs between seeds of one
        experiment, what it was asked does not.
    keeps_model : bool
        Whether `fit_and_answer` leaves a `model/`.
    """

    name: str
    run: str
    parameters: Mapping[str, Any]
    fit_and_answer: Callable[[RunFolder], Answered]
    facts: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[str] = ()
    validation: SeriesSet | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    keeps_model: bool = True


def run_trained(
    method: Method,
    splits: Splits,
    train: SeriesSet,
    runs: Path | str,
    *,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, answer the test part, and write the files of a run; what was interrupted goes on.

    After `ranks.join_processes`, in several processes: all train, the first writes.

    Parameters
    ----------
    train : SeriesSet
        The cases it trains on; others of `splits` than these and the test cases count as validation.
    runs : path
        The folder of all runs.
    given : mapping, optional
        How `splits` was loaded, for `config.yaml`.

    Returns
    -------
    dict
        The content of metrics.json; of the finished run in that folder, if that was on the same series.
    """
    folder = baseline_folder(method.run, splits, runs)
    kept = [*(["model"] if method.keeps_model else []), *method.pictures]
    outputs = [folder.predictions, folder.config, folder.metrics, *(folder.path / name for name in kept)]
    digest = _digest(method, seed, splits, train)
    state = check_stage(folder, STAGE, digest, outputs)
    if state == "done":
        say_asked(folder, method.asked)
        return read_metrics(folder.metrics)
    from vlm_tsc.classify.ranks import current_ranks  # torch takes seconds

    ranks = current_ranks()
    ranks.wait()  # until each has seen the folder as it was
    if ranks.is_first:
        begin_stage(folder, STAGE, digest, outputs)
    ranks.wait()
    answered = method.fit_and_answer(folder)
    if not ranks.is_first:
        ranks.wait()
        return read_metrics(folder.metrics)
    config = _config(method, seed, splits, given)
    document = write_run(folder, method.name, splits, train, answered, seed, config, method.facts)
    finish_stage(folder, STAGE, digest, counts={"train": train.counts, "test": splits.test.counts})
    ranks.wait()
    return document


@dataclass(frozen=True)
class Search:
    """How many settings to try, and the names of the hyperparameters to choose."""

    n_trials: int
    names: tuple[str, ...]


def search_of(n_trials: int | None, names: Iterable[str], given: Container[str]) -> Search | None:
    """What `--search N` asks for: to choose those of the names that are not given. None without it.

    Raises
    ------
    InputError
        When all are.
    """
    if n_trials is None:
        return None
    free = tuple(name for name in names if name not in given)
    if not free:
        raise InputError("there is nothing to choose", where="--search", got=f"{', '.join(names)} are given")
    return Search(n_trials, free)


def answer(model: Any, test: SeriesSet) -> Answered:
    """The test cases' probabilities by a model with `classes`, `train_seconds` and `probabilities`."""
    started = time.perf_counter()
    probabilities = np.zeros((test.n_cases, len(test.class_names)))  # a class that training lacks stays at 0
    columns = [test.class_names.index(str(label)) for label in model.classes]
    probabilities[:, columns] = model.probabilities([np.asarray(case, dtype=np.float64) for case in test.X])
    return Answered(probabilities, model.train_seconds, time.perf_counter() - started)


def run_name(hyperparameters: BaseModel, seed: int, name: str = NAME) -> str:
    """`name`, and what is not the default: `inception-time-epochs100-seed1`."""
    usual = type(hyperparameters)()
    words = []
    for key in type(hyperparameters).model_fields:
        value = getattr(hyperparameters, key)
        if value != getattr(usual, key):
            words.append(key.replace("_", "-") + ("" if isinstance(value, bool) else f"{value:g}"))
    return "-".join([name, *words, *([f"seed{seed}"] if seed else [])])


def _digest(method: Method, seed: int, splits: Splits, train: SeriesSet) -> str:
    """Hash of everything that determines the figures."""
    settings = {"classifier": method.name, **method.parameters, "seed": seed, "split": splits.split}
    settings["class_names"] = train.class_names
    parts = [part for part in (train, method.validation, splits.test) if part is not None]
    return data_hash(settings, [array for part in parts for array in (*part.X, part.y, np.array(part.ids))])


def _config(method: Method, seed: int, splits: Splits, given: Mapping[str, Any] | None) -> str:
    known = {"dataset": splits.test.name, **(given or {}), "split": splits.split}
    values = {key: str(value) for key, value in known.items() if value is not None}
    content = {"classifier": method.name, "parameters": dict(method.parameters), "seed": seed, **values, **method.asked}
    return config_text(content)
