"""A baseline that is trained, as a run of its own: like a classical one, but seeded, resumable, its model kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import training_cases
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.baseline import STAGE, Answered, NotRun, baseline_folder, run_baseline, write_run
from vlm_tsc.evaluate.metrics import read_metrics
from vlm_tsc.evaluate.search import INCEPTION_TIME, STUDY_FILE, Score, held_out_parts, mean_score, scores_of
from vlm_tsc.evaluate.search import search as choose
from vlm_tsc.files import write_json
from vlm_tsc.manifest import begin_stage, check_stage, data_hash, finish_stage

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

NAME = "inception-time"


def run_named(
    name: str, splits: Splits, runs: Path | str, *, seed: int, given: Mapping[str, Any], limit_s: float | None
) -> dict[str, Any] | NotRun:
    """Any baseline by its name: a trained one with its published settings, else as `run_baseline` does."""
    if name == NAME:
        return run_inception_time(splits, runs, Hyperparameters(), seed=seed, given=given)
    return run_baseline(name, splits, runs, seed=seed, given=given, limit_s=limit_s)


def run_inception_time(
    splits: Splits,
    runs: Path | str,
    hyperparameters: Hyperparameters,
    *,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    search: Search | None = None,
) -> dict[str, Any]:
    """Train the ensemble, answer the test part, and write the files of a run; what was interrupted goes on.

    After `inception_time.ranks.join_processes`, in several processes: all train, the first writes.

    Parameters
    ----------
    splits : Splits
        Validation cases that were carved from train are trained on: the epoch is chosen by the training loss.
    runs : path
        The folder of all runs; see `run_name` for this one's name. The model is kept in its `model/`.
    given : mapping, optional
        How `splits` was loaded, for `config.yaml`.
    search : Search, optional
        Choose some hyperparameters first, on cases held out of train; what was tried and chosen is in `search.json`.

    Returns
    -------
    dict
        The content of metrics.json; of the finished run in that folder, if that was on the same series.
    """
    train, test = training_cases(splits), splits.test
    folder = baseline_folder(run_name(hyperparameters, seed, searched=search is not None), splits, runs)
    config = _config(hyperparameters, seed, splits, given, search)
    if search is not None:
        hyperparameters = _searched(folder.path, splits, hyperparameters, search, seed)
    model_dir = folder.path / "model"
    outputs = [folder.predictions, folder.config, folder.metrics, model_dir]
    digest = _digest(hyperparameters, seed, splits.split, train, test)
    state = check_stage(folder, STAGE, digest, outputs)
    if state == "done":
        return read_metrics(folder.metrics)
    from vlm_tsc.classify.inception_time.ranks import current_ranks  # torch takes seconds

    ranks = current_ranks()
    ranks.wait()  # until each has seen the folder as it was
    if ranks.is_first:
        begin_stage(folder, STAGE, digest, outputs)
    ranks.wait()
    answered = _train_and_answer(train, test, hyperparameters, seed, model_dir)
    if not ranks.is_first:
        ranks.wait()
        return read_metrics(folder.metrics)
    document = write_run(folder, NAME, splits, train, answered, seed, config)
    finish_stage(folder, STAGE, digest, counts={"train": train.counts, "test": test.counts})
    ranks.wait()
    return document


@dataclass(frozen=True)
class Search:
    """How many settings to try, and the names of the hyperparameters to choose."""

    n_trials: int
    names: tuple[str, ...]


def _searched(
    folder: Path, splits: Splits, hyperparameters: Hyperparameters, search: Search, seed: int
) -> Hyperparameters:
    """The hyperparameters with the chosen ones in them."""
    from vlm_tsc.classify.inception_time.ranks import current_ranks

    if current_ranks().count > 1:
        raise InputError("a search runs in one process", where="--search", fix="search first, without a launcher")
    parts = held_out_parts(splits, seed)
    sizes = [held_out.n_cases for _, held_out in parts]
    trials = folder / "trials"  # models of one trial, so that an interrupted one goes on

    def score(values: dict[str, Any], number: int) -> Score:
        from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier

        def fit(cases: SeriesSet, part: int) -> Any:
            place = str(trials / f"{key[:8]}-{number}-{part}")
            options = {**hyperparameters.model_dump(), **values, "random_state": seed, "model_dir": place}
            return InceptionTimeClassifier(**options).fit(cases.X, cases.y)

        found = mean_score(scores_of(parts, fit), sizes)
        shutil.rmtree(trials, ignore_errors=True)
        return found

    space = {name: INCEPTION_TIME[name] for name in search.names}
    # the test part is no argument of it
    cases = [array for pair in parts for part in pair for array in (*part.X, part.y, np.array(part.ids))]
    key = data_hash({"searched": list(space), **hyperparameters.model_dump(), "seed": seed}, cases)
    found = choose(folder / STUDY_FILE, key, space, search.n_trials, score, seed=seed)
    write_json(folder / "search.json", {"chosen": found.chosen, "held_out": sizes, "trials": found.trials})
    return hyperparameters.model_copy(update=found.chosen)


def run_name(hyperparameters: Hyperparameters, seed: int, searched: bool = False) -> str:
    """`inception-time`, and what is not the paper's: `inception-time-epochs100-seed1`, `inception-time-search`."""
    usual = Hyperparameters()
    names = [name for name in Hyperparameters.model_fields if getattr(hyperparameters, name) != getattr(usual, name)]
    words = [f"{name.replace('_', '-')}{getattr(hyperparameters, name):g}" for name in names]
    return "-".join([NAME, *(["search"] if searched else []), *words, *([f"seed{seed}"] if seed else [])])


def _train_and_answer(
    train: SeriesSet, test: SeriesSet, hyperparameters: Hyperparameters, seed: int, model_dir: Path
) -> Answered:
    from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier  # torch and aeon take seconds

    options = {**hyperparameters.model_dump(), "random_state": seed, "model_dir": str(model_dir)}
    classifier = InceptionTimeClassifier(**options)
    classifier.fit(train.X, train.y)
    fitted = time.perf_counter()
    probabilities = np.zeros((test.n_cases, len(test.class_names)))  # a class that training lacks stays at 0
    columns = [test.class_names.index(str(label)) for label in classifier.classes_]
    probabilities[:, columns] = classifier.predict_proba(test.X)
    return Answered(probabilities, classifier.ensemble_.train_seconds, time.perf_counter() - fitted)


def _digest(hyperparameters: Hyperparameters, seed: int, split: str, train: SeriesSet, test: SeriesSet) -> str:
    """Hash of everything that determines the figures."""
    settings = {"classifier": NAME, **hyperparameters.model_dump(), "seed": seed, "split": split}
    settings["class_names"] = train.class_names
    return data_hash(settings, [array for part in (train, test) for array in (*part.X, part.y, np.array(part.ids))])


def _config(
    hyperparameters: Hyperparameters, seed: int, splits: Splits, given: Mapping[str, Any] | None, search: Search | None
) -> str:
    """What was asked for; what a search chose is in `search.json` and the model, and differs between seeds."""
    known = {"dataset": splits.test.name, **(given or {}), "split": splits.split}
    values = {key: str(value) for key, value in known.items() if value is not None}
    content = {"classifier": NAME, "parameters": hyperparameters.model_dump(), "seed": seed, **values}
    content |= {} if search is None else {"search": {"trials": search.n_trials, "names": list(search.names)}}
    return "# Everything that determines this run.\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
