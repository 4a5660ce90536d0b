"""Hyperparameters chosen on cases held out of train, by Optuna; what was interrupted goes on. Test is never asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import training_cases
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json
from vlm_tsc.launcher import refuse_several
from vlm_tsc.manifest import data_hash

if TYPE_CHECKING:
    from vlm_tsc.archive import Splits

log = logging.getLogger(__name__)

STUDY_FILE = "search.db"  # SQLite, of Optuna; holds numbers and texts, no pickle
MAX_FOLDS = 3


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, a whole one if so said; drawn evenly, of its logarithm with `log`."""

    low: float
    high: float
    log: bool = True
    whole: bool = False


Space = Mapping[str, tuple[Any, ...] | Range]
Part = tuple[SeriesSet, SeriesSet]  # cases to train on, cases to judge by
INCEPTION_TIME: Space = {
    "filters": (16, 32, 64),
    "depth": (3, 6, 9),
    "lr": Range(1e-4, 1e-2),
    "batch_size": (16, 32, 64),
}


@dataclass(frozen=True)
class Score:
    """How good one setting is on held-out cases: mean -log p of the true class, share of right answers."""

    log_loss: float
    accuracy: float

    @classmethod
    def of(cls, probabilities: np.ndarray, codes: np.ndarray) -> Score:
        """Of probabilities (n_cases, n_classes) and the position of each case's class."""
        right = probabilities[np.arange(len(codes)), codes].clip(1e-7)
        return cls(float(-np.log(right).mean()), float((probabilities.argmax(axis=1) == codes).mean()))


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes
    ----------
    chosen : dict
        Name → value of the best setting.
    trials : list of dict
        Every trial in its order: values, and its log_loss and accuracy (None where it could not be trained).
    """

    chosen: dict[str, Any]
    trials: list[dict[str, Any]]


def choose(
    folder: Path,
    splits: Splits,
    determines: Mapping[str, Any],
    space: Space,
    n_trials: int,
    scores: Callable[[list[Part], dict[str, Any], str], Iterable[Score]],
    *,
    seed: int,
) -> dict[str, Any]:
    """Name → value of the best of `n_trials` settings, judged on cases held out of train.

    What was interrupted goes on after the last finished trial.

    Parameters
    ----------
    folder : Path
        The run's; `search.json` there says what was tried.
    determines : mapping
        JSON values that, with the cases and the seed, determine a trial's score.
    scores : callable
        (parts, values, a name of the trial) → Score of each part; see `search`.

    Raises
    ------
    InputError
        Under a launcher of several processes, when a class of train has a single case, or no trial could be trained.
    """
    refuse_several("a search runs in one process", where="--search", fix="search first, without a launcher")
    parts = held_out_parts(splits, seed)
    sizes = [held_out.n_cases for _, held_out in parts]
    # the test part is no argument of it
    cases = [array for pair in parts for part in pair for array in (*part.X, part.y, np.array(part.ids))]
    key = data_hash({**determines, "searched": list(space), "seed": seed}, cases)

    def score(values: dict[str, Any], number: int) -> Score:
        return mean_score(scores(parts, values, f"{key[:8]}-{number}"), sizes)

    found = search(folder / STUDY_FILE, key, space, n_trials, score, seed=seed)
    write_json(folder / "search.json", {"chosen": found.chosen, "held_out": sizes, "trials": found.trials})
    return found.chosen


def held_out_parts(splits: Splits, seed: int) -> list[Part]:
    """(cases to train on, cases to judge by), of the training part alone.

    The split's validation part where it has one; else up to three stratified folds of train, because a fifth of so few
    cases tells nothing.

    Raises
    ------
    InputError
        When a class of train has a single case.
    """
    if splits.validation is not None:
        return [(splits.train, splits.validation)]
    from sklearn.model_selection import StratifiedKFold

    train = training_cases(splits)
    least = min(count for count in train.counts.values() if count)
    if least < 2:
        fix = "choose the settings yourself: no case of that class can be held out"
        raise InputError("a search needs two training cases of every class", where=train.name, got=1, fix=fix)
    folds = StratifiedKFold(min(MAX_FOLDS, least), shuffle=True, random_state=seed)
    return [(train.select(a), train.select(b)) for a, b in folds.split(np.zeros(train.n_cases), train.y)]


def search(
    database: Path, key: str, space: Space, n_trials: int, score: Callable[[dict[str, Any], int], Score], *, seed: int
) -> Searched:
    """Try `n_trials` settings and return the one of lowest log-loss.

    The log-loss and not the accuracy decides: of few held-out cases most settings get equally many right.

    Parameters
    ----------
    database : Path
        SQLite file of the study. Trials that are finished there are not done again, one that was interrupted is; a
        larger `n_trials` goes on from a finished search.
    key : str
        Hash of all that determines a trial's score; trials of another key are not looked at.
    space : mapping
        What is chosen: name → values, or a Range.
    score : callable
        (values, number of the trial) → Score. An InputError, such as a loss that is no number, ends the trial alone.
    seed : int
        Trial k depends on this, k and the scores before it, so that an interrupted search finds what any other does.

    Raises
    ------
    InputError
        When no trial could be trained, or the database is broken.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database.parent.mkdir(parents=True, exist_ok=True)
    study = _opened(database, key)
    problem: InputError | None = None
    while (done := len(_finished(study))) < n_trials:
        study.sampler = optuna.samplers.TPESampler(seed=int(np.random.default_rng([seed, done]).integers(2**31)))
        trial = study.ask()
        values = {name: _suggested(trial, name, choices) for name, choices in space.items()}
        try:
            found = _known(study, trial.params) or score(values, done)
        except InputError as error:
            problem = error
            log.warning("search, trial %d of %d: %s: %s", done + 1, n_trials, values, str(error).split("\n")[0])
            trial.set_user_attr("refused", str(error))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        trial.set_user_attr("score", asdict(found))
        study.tell(trial, found.log_loss)
        log.warning("search, trial %d of %d: %s: %s", done + 1, n_trials, values, found)
    trials = [{**one.params, **one.user_attrs.get("score", _NO_SCORE)} for one in _finished(study)[:n_trials]]
    scored = [one for one in trials if one["log_loss"] is not None]
    if not scored:
        raise problem or InputError("no setting could be trained", where=database)
    best = min(scored, key=lambda one: one["log_loss"])
    return Searched({name: best[name] for name in space}, trials)


_NO_SCORE = {"log_loss": None, "accuracy": None}


def _opened(database: Path, key: str) -> Any:
    """The study in the database; what was being tried when it was interrupted is given up."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    storage = f"sqlite:///{database.resolve()}"
    try:
        study = optuna.create_study(storage=storage, study_name=key, direction="minimize", load_if_exists=True)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        what, fix = "the database of the search cannot be used", "delete it: the search begins anew"
        raise InputError(what, where=database, got=str(error).split("\n")[0], fix=fix) from error
    return study


def _finished(study: Any) -> list[Any]:
    """Trials that were scored or refused, in their order; not those that were interrupted."""
    return [one for one in study.get_trials(deepcopy=False) if {"score", "refused"} & set(one.user_attrs)]


def _known(study: Any, values: Mapping[str, Any]) -> Score | None:
    """The score of the same values in an earlier trial: of a few choices most trials would be repetitions."""
    found = (one.user_attrs["score"] for one in _finished(study) if one.params == values and "score" in one.user_attrs)
    return next((Score(**score) for score in found), None)


def _suggested(trial: Any, name: str, choices: tuple[Any, ...] | Range) -> Any:
    if isinstance(choices, Range):
        if choices.whole:
            return trial.suggest_int(name, int(choices.low), int(choices.high), log=choices.log)
        return trial.suggest_float(name, choices.low, choices.high, log=choices.log)
    return trial.suggest_categorical(name, choices)


def scores_of(parts: list[Part], fit: Callable[[SeriesSet, int], Any]) -> Iterable[Score]:
    """Score of each part; `fit(cases, number of the part)` gives a classifier."""
    for i, (train, held_out) in enumerate(parts):
        classifier = fit(train, i)
        columns = [held_out.class_names.index(str(label)) for label in classifier.classes_]
        probabilities = np.zeros((held_out.n_cases, len(held_out.class_names)))  # a class that the fold lacks
        probabilities[:, columns] = classifier.predict_proba(held_out.X)
        yield Score.of(probabilities, np.array([held_out.class_names.index(label) for label in held_out.y]))


def mean_score(scores: Iterable[Score], sizes: list[int]) -> Score:
    """Over all held-out cases, of which part i has `sizes[i]`."""
    both = np.array([(one.log_loss, one.accuracy) for one in scores])
    log_loss, accuracy = np.average(both, axis=0, weights=sizes)
    return Score(float(log_loss), float(accuracy))
