"""Split protocols: which cases train, choose and judge. Each is a pure function of labels, sizes and seeds."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.errors import InputError, nearest

PROTOCOLS = ("official", "pooled", "resample:K", "holdout:SEED")
MIN_TRAIN, MIN_PER_CLASS = 400, 5  # below, a validation split costs more training cases than it tells
MAX_VALIDATION = 400  # more tell little: a standard error of 1 % at .95, and all are answered ten times in a training
MAX_SEED = 2**32 - 1  # of NumPy's random state


@dataclass(frozen=True)
class Splits:
    """Train, validation (None where none is held out) and test; `split` names the protocol in every table."""

    train: SeriesSet
    validation: SeriesSet | None
    test: SeriesSet
    split: str


def training_cases(splits: Splits) -> SeriesSet:
    """The cases that a method without a checkpoint to choose trains on, in the source's order.

    Where validation was carved from train, that is all of them: published accuracies come from the whole training part.
    Where the split has a validation part of its own (`pooled`, `holdout:SEED`), it stays out.
    """
    train, validation = splits.train, splits.validation
    if validation is None or splits.split.startswith(("pooled", "holdout:")):
        return train
    ids = (*train.ids, *validation.ids)
    order = np.argsort(np.array(ids))  # of two nearest neighbours equally near the first counts, so the order matters
    X = [*train.X, *validation.X]
    both = isinstance(train.X, np.ndarray) and isinstance(validation.X, np.ndarray)
    y = np.concatenate([train.y, validation.y])
    return SeriesSet(np.stack(X) if both else X, y, train.class_names, train.name, ids).select(order)


@dataclass(frozen=True)
class Indices:
    """Cases of each split, as positions in the pool: the train part, then the test part, both in the source's order."""

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray


def parse_split(split: str) -> tuple[str, int]:
    """("official" | "pooled" | "resample" | "holdout", number after the colon or 0).

    Raises
    ------
    InputError
        When `split` is none of PROTOCOLS, or its number none from 0 to 2**32 - 1.
    """
    match = re.fullmatch(r"(official|pooled)|(resample|holdout):(\d{1,10})", split)
    if match is None or int(match[3] or 0) > MAX_SEED:
        near = nearest(split.split(":")[0], [protocol.split(":")[0] for protocol in PROTOCOLS], n=1)
        fix = next((f"--split {protocol}" for protocol in PROTOCOLS if near and protocol.startswith(near[0])), None)
        raise InputError(
            "unknown split",
            where="--split",
            got=repr(split),
            allowed=f"{', '.join(PROTOCOLS)} (0 to {MAX_SEED})",
            fix=fix,
        )
    return match[1] or match[2], int(match[3] or 0)


def official(y: np.ndarray, n_train: int, seed: int) -> Indices:
    """The archive's own split; validation is carved from train where the rule allows it."""
    return _with_validation(y, np.arange(n_train), np.arange(n_train, len(y)), seed)


def resample(y: np.ndarray, n_train: int, k: int, seed: int) -> Indices:
    """aeon's stratified resample `k` of the official split, same sizes and classes; 0 is the official split itself.

    Raises
    ------
    InputError
        When a class is only in one of train and test: aeon's resampling is then not defined.
    """
    from aeon.benchmarking.resampling import stratified_resample_data_indices

    if k == 0:
        return official(y, n_train, seed)
    lonely = sorted(set(y[:n_train].tolist()) ^ set(y[n_train:].tolist()))
    if lonely:
        what = "resampling wants every class in both train and test"
        raise InputError(
            what,
            where="--split",
            got=f"resample:{k}; classes in one of them only: {', '.join(lonely)}",
            allowed="official",
        )
    train, test = stratified_resample_data_indices(y[:n_train], y[n_train:], random_state=k)
    return _with_validation(y, train, test, seed)


def pooled(n_cases: int) -> Indices:
    """VLM-TSC's protocol: train and test pooled, then 60/20/20 at random with seeds 42 and 21, not stratified."""
    from sklearn.model_selection import train_test_split

    if n_cases < 4:
        raise InputError(
            "too few cases to pool and split", where="--split", got=f"{n_cases} cases", allowed="at least 4"
        )
    rest, test = train_test_split(np.arange(n_cases), test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=0.25, random_state=21)
    return Indices(np.asarray(train), np.asarray(validation), np.asarray(test))


def holdout(y: np.ndarray, seed: int) -> Indices:
    """60/20/20 of one file, class by class and at random.

    Every class keeps a case in train; a class of two or more has one in test; one of a single case is wholly in train.

    Raises
    ------
    InputError
        When no class has two cases, so that nothing could be tested.
    """
    random = np.random.RandomState(seed)
    parts: list[list[int]] = [[], [], []]
    for name in sorted(set(y.tolist())):
        members = random.permutation(np.flatnonzero(y == name)).tolist()
        n_test = min(max(round(0.2 * len(members)), 1), len(members) - 1)
        n_validation = min(round(0.2 * len(members)), len(members) - 1 - n_test)
        parts[2] += members[:n_test]
        parts[1] += members[n_test : n_test + n_validation]
        parts[0] += members[n_test + n_validation :]
    train, validation, test = (np.array(sorted(part), dtype=int) for part in parts)
    if not len(test):
        raise InputError(
            "too few cases to hold a test part out", where="--split", got="one case per class", allowed="at least 2"
        )
    return Indices(train, validation if len(validation) else None, test)


def _with_validation(y: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int) -> Indices:
    _, counts = np.unique(y[train], return_counts=True)
    if len(train) < MIN_TRAIN or counts.min() < MIN_PER_CLASS:
        return Indices(train, None, test)
    from sklearn.model_selection import train_test_split  # after the rule: a small set need not wait for it

    n_validation = min(round(0.2 * len(train)), MAX_VALIDATION)
    rest, validation = train_test_split(train, test_size=n_validation, random_state=seed, stratify=y[train])
    return Indices(np.sort(rest), np.sort(validation), test)
