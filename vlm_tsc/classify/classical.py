"""The classical baselines, as aeon has them: the most frequent class, one nearest neighbour, and any other by name."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.classify import from_aeon
from vlm_tsc.errors import InputError, nearest

Series = np.ndarray | list[np.ndarray]
DEFAULTS: Mapping[str, Any] = MappingProxyType({})
CHUNK_SECONDS = 2.0  # of work between two signs of progress
PROBE_SECONDS = 0.5  # of work on which an estimate may rest


def _majority() -> Any:
    from aeon.classification.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


def _1nn(**parameters: Any) -> Any:
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier(n_jobs=from_aeon.n_cores(), **{"n_neighbors": 1, **parameters})


def _1nn_ed() -> Any:
    return _1nn(distance="euclidean")


def _1nn_dtw(**parameters: Any) -> Any:
    # window 1.0: warping over the full length, which needs no tuning; several channels warp together (dependent DTW)
    return _1nn(**{"distance": "dtw", "distance_params": {"window": 1.0}, **parameters})


# those that every run is compared with; others are run when they are named
BASELINES: dict[str, Callable[..., Any]] = {"majority": _majority, "1nn-ed": _1nn_ed, "1nn-dtw": _1nn_dtw}
TITLES = {"majority": "majority class", "1nn-ed": "1NN-ED", "1nn-dtw": "1NN-DTW"}
ALL_TITLES = {**TITLES, **from_aeon.TITLES}
NAMES = (*BASELINES, *from_aeon.SHORT)
NEED_EQUAL_LENGTH = ("euclidean", "squared", "manhattan", "minkowski")  # aeon cuts the longer series off, and is silent


def refuse_unknown(name: str, others: tuple[str, ...] = ()) -> None:
    """Raise InputError unless `name` is in NAMES or `others`, or the class of a classifier of aeon."""
    if name in (*NAMES, *others) or from_aeon.is_known(name):
        return
    known = (*NAMES, *others)
    close = nearest(name, (*known, *from_aeon.aeon_classes()), n=1)
    allowed = f"{', '.join(known)}, or the class name of a classifier of aeon, such as WEASEL_V2"
    raise InputError("Unknown baseline.", got=name, allowed=allowed, fix=f"did you mean {close[0]}?" if close else None)


def make_baseline(name: str, seed: int = 0, chosen: Mapping[str, Any] = DEFAULTS) -> Any:
    """A new, unfitted classifier of aeon (a `BaseClassifier`; typed Any, because importing aeon takes a second).

    Parameters
    ----------
    chosen : mapping
        Arguments of its constructor that are not the usual ones.

    Raises
    ------
    InputError
        When there is no such baseline, or aeon cannot make it here.
    """
    refuse_unknown(name)
    return BASELINES[name](**chosen) if name in BASELINES else from_aeon.make(name, seed, chosen)


def parameters(name: str, chosen: Mapping[str, Any] = DEFAULTS) -> dict[str, Any]:
    """What the classifier is made with, but for its seed, and the number of cores, which changes no answer."""
    found = make_baseline(name, chosen=chosen).get_params(deep=False)
    plain = (bool, int, float, str, list, dict, type(None))
    return {k: v if isinstance(v, plain) else repr(v) for k, v in found.items() if k not in ("n_jobs", "random_state")}


def as_needed(
    name: str, train: SeriesSet, test: SeriesSet, chosen: Mapping[str, Any] = DEFAULTS
) -> tuple[Series, Series]:
    """The series of both parts in the form that the baseline takes.

    Series of unequal length stay so where a classifier is made for them, as DTW is. For the others, and for the
    Euclidean distance, all are stretched, by linear interpolation, to the longest training series.

    Raises
    ------
    InputError
        When the series have several channels and the classifier takes one.
    """
    classifier = make_baseline(name, chosen=chosen)
    if train.n_channels > 1 and not classifier.get_tag("capability:multivariate"):
        raise InputError("this classifier takes one channel", where=name, got=f"{train.n_channels} channels")
    lockstep = getattr(classifier, "distance", None) in NEED_EQUAL_LENGTH
    takes_unequal = classifier.get_tag("capability:unequal_length") and not lockstep
    if takes_unequal or train.n_timepoints == test.n_timepoints is not None:
        return train.X, test.X
    from aeon.transformations.collection.unequal_length import Resizer

    # aeon's signature says "max" or a number, its type says str
    resizer: Any = Resizer(int(train.lengths.max()))  # pyright: ignore[reportArgumentType]
    return resizer.fit_transform(train.X), resizer.fit_transform(test.X)


def probabilities_in_chunks(classifier: Any, X: Series, chunk: int) -> Iterator[np.ndarray]:
    """`classifier.predict_proba(X)`, `chunk` cases at a time, so that a caller can show progress.

    A nearest-neighbour classifier of aeon answers one case at a time in `predict_proba`, on one core and with its
    training cases converted anew for each; its `kneighbors` takes all at once on all cores, 2 to 40 times faster on two
    cores, with equal answers.

    Yields
    ------
    ndarray (n_cases of the chunk, n_classes), columns in the order of `classifier.classes_`
    """
    for start in range(0, len(X), chunk):
        part = X[start : start + chunk]
        yield _neighbours(classifier, part) if _is_nearest(classifier) else classifier.predict_proba(part)


def _is_nearest(classifier: Any) -> bool:
    return hasattr(classifier, "kneighbors") and classifier.weights in ("uniform", "distance")


def _neighbours(classifier: Any, X: Series) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*unsafe cast from uint64")  # numba, when it compiles aeon's loop
        distances, indices = classifier.kneighbors(X)
    weights = np.ones(indices.shape) if classifier.weights == "uniform" else 1 / (distances + np.finfo(float).eps)
    votes = np.zeros((len(X), len(classifier.classes_)))
    np.add.at(votes, (np.arange(len(X))[:, None], classifier.y_[indices]), weights)
    return votes / votes.sum(axis=1, keepdims=True)


def chunk_size(seconds_per_case: float) -> int:
    """Cases that take about CHUNK_SECONDS; not too many, because all their distances are in memory at once."""
    return int(np.clip(CHUNK_SECONDS / max(seconds_per_case, 1e-9), 1, 1000))


def seconds_per_case(name: str, X_train: Series, X_test: Series) -> float:
    """Wall seconds that the baseline will take for one test case, from timed runs on growing subsets.

    A nearest neighbour's work grows in proportion to training cases times test cases; the subsets grow until the
    start of the threads no longer counts, first in training cases, because even one test case against all may take
    minutes. Compilation is not counted. 0.0 where there is nothing to wait for (`majority`).
    """
    classifier = make_baseline(name)
    if not hasattr(classifier, "kneighbors"):
        return 0.0
    n_train, n_test = min(len(X_train), 2), min(len(X_test), classifier.n_jobs)
    _seconds(name, _spread(X_train, n_train), _spread(X_test, 1))  # compiles
    while True:
        subset = _spread(X_train, n_train), _spread(X_test, n_test)
        seconds = _seconds(name, *subset)
        if seconds >= PROBE_SECONDS:  # or the machine was busy: two pairs of cases once told half an hour, for seconds
            seconds = min(seconds, _seconds(name, *subset))
        if seconds >= PROBE_SECONDS or (n_train, n_test) == (len(X_train), len(X_test)):
            return seconds / n_test * len(X_train) / n_train
        if n_train < len(X_train):
            n_train = min(len(X_train), n_train * 4)
        else:
            n_test = min(len(X_test), n_test * 4)


def _seconds(name: str, X_train: Series, X_test: Series) -> float:
    probe = make_baseline(name).fit(X_train, np.arange(len(X_train)).astype(str))
    started = time.perf_counter()
    _neighbours(probe, X_test)
    return time.perf_counter() - started


def _spread(X: Series, n: int) -> Series:
    """`n` cases evenly spread over `X`, because neighbouring cases are often of one class and one length."""
    indices = np.linspace(0, len(X) - 1, min(n, len(X))).astype(int)
    return X[indices] if isinstance(X, np.ndarray) else [X[i] for i in indices]
