"""load: a set by name or a file of the user's own → train, validation and test."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np

from vlm_tsc.archive.formats import read
from vlm_tsc.archive.part import NUMBER, Part
from vlm_tsc.archive.policies import Lengths, Missing, with_lengths, without_missing
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.sources import Found, find
from vlm_tsc.archive.splits import Indices, Splits, holdout, official, parse_split, pooled, resample
from vlm_tsc.errors import InputError, nearest

log = logging.getLogger(__name__)
MAX_NAMED = 10


def load(
    dataset: str,
    *,
    data_dir: Path | str | None = None,
    test: Path | str | None = None,
    split: str = "official",
    missing: Missing = "error",
    lengths: Lengths = "keep",
    seed: int = 0,
) -> Splits:
    """Load a set and split it.

    Parameters
    ----------
    dataset : str
        Name of a set, looked for in `data_dir` (default: the environment variable VLM_TSC_DATA), inside aeon, in the
        cache and in aeon's list of downloads; or path of your own .ts, .tsv, .txt, .arff, .npz or .csv, each also .gz.
    data_dir : path, optional
        Folder with one folder per set: `GunPoint/GunPoint_TRAIN.tsv` and `GunPoint/GunPoint_TEST.tsv`.
    test : path, optional
        Test part of your own file. Without it the file is split 60/20/20, which is called "holdout:0".
    split : "official", "pooled", "resample:K" or "holdout:SEED"
        Split protocol; see `splits.py`.
    missing : "error" or "interpolate"
        What to do about missing values inside a series. Trailing ones in a table (every format but .ts) end a shorter
        series and are not missing.
    lengths : "keep", "pad" or "resample"
        What to do about unequal lengths.
    seed : int
        Of the validation split, where one is carved from train: 20 % and at most 400,
        stratified, from 400 cases and 5 per class on.

    Returns
    -------
    Splits
        Values are float64 and never normalised. `X` is a list in every split where the set's lengths differ.

    Raises
    ------
    InputError
        For whatever cannot be found, read or used, with file and line.
    """
    protocol, number = parse_split(split)
    _one_of("--missing", missing, get_args(Missing))
    _one_of("--lengths", lengths, get_args(Lengths))
    found = find(dataset, data_dir, test)
    if found.one_file and protocol == "official":
        protocol, number, split = "holdout", 0, "holdout:0"
    _refuse_wrong_protocol(found, protocol, split)
    parts = [read(path) for path in (found.train, found.test) if path is not None]
    pool, n_train = _pool(found, parts, missing, lengths)
    indices = {
        "official": lambda: official(pool.y, n_train, seed),
        "pooled": lambda: pooled(pool.n_cases),
        "resample": lambda: resample(pool.y, n_train, number, seed),
        "holdout": lambda: holdout(pool.y, number),
    }[protocol]()
    _check_classes(pool.y, indices, found)
    validation = None if indices.validation is None else pool.select(indices.validation)
    return Splits(pool.select(indices.train), validation, pool.select(indices.test), split)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        fix = "".join(f"{option} {name}" for name in nearest(str(value), allowed, n=1)) or None
        raise InputError("unknown policy", where=option, got=value, allowed=allowed, fix=fix)


def _refuse_wrong_protocol(found: Found, protocol: str, split: str) -> None:
    if protocol == "holdout" and found.test is not None:
        allowed = "official, pooled, resample:K; holdout is for a single file"
        raise InputError(f"{found.name} has a test part", where="--split", got=split, allowed=allowed)
    if protocol != "holdout" and found.test is None:
        folder, fix = (
            found.train.parent,
            f"put {found.name}_TEST.* beside it, or hold a test part out of train: --split holdout:0",
        )
        if found.one_file:
            fix = "name the test part with --test FILE, or --split holdout:0"
        raise InputError(
            f"{found.name} has no test part, which the split needs",
            where=folder,
            got=f"{found.train.name}; {split}",
            fix=fix,
        )


def _pool(found: Found, parts: list[Part], missing: Missing, lengths: Lengths) -> tuple[SeriesSet, int]:
    """Every case of the source in one set, and how many of them are of the train part."""
    train, *rest = parts
    for part in rest:
        if len(part.cases[0]) != len(train.cases[0]):
            got, allowed = f"{len(part.cases[0])} channels", f"{len(train.cases[0])}, as in {train.path}"
            raise InputError(
                "train and test differ in their number of channels", where=part.path, got=got, allowed=allowed
            )
    filled = [without_missing(part, missing) for part in parts]
    first, second = with_lengths(filled[0], filled[1] if rest else [], lengths)
    cases = [*first, *second]
    equal = len({case.shape[1] for case in cases}) == 1
    names = ["case"] if found.one_file else ["train", "test"]
    ids = [f"{name}-{i:05d}" for name, part in zip(names, parts, strict=False) for i in range(len(part.cases))]
    labels = [label for part in parts for label in part.labels]
    pool = SeriesSet(np.stack(cases) if equal else cases, np.array(labels), class_names(parts), found.name, tuple(ids))
    return pool, len(first)


def class_names(parts: list[Part]) -> tuple[str, ...]:
    """Classes in the data and in the headers; numeric order if all are numbers, else alphabetic."""
    names = {label for part in parts for label in part.labels}
    for part in parts:
        # A header that lacks a class of the data is wrong, e.g. of other spelling: what it has besides are no classes.
        if set(part.labels) <= set(part.declared):
            names |= set(part.declared)
    if all(NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))


def _check_classes(y: np.ndarray, indices: Indices, found: Found) -> None:
    counts = Counter(y[indices.train].tolist())
    held = set(y[indices.test].tolist())
    if len(counts) < 2:
        got = f"only {next(iter(counts))}, in {len(indices.train)} cases"
        raise InputError(
            "the training cases are of one class", where=found.train, got=got, allowed="at least 2 classes"
        )
    if not held & set(counts):
        got = f"test {_few(held)}; train {_few(set(counts))}"
        fix = "write the labels of both parts alike"
        raise InputError(
            "no label of the test part is in the train part", where=found.test or found.train, got=got, fix=fix
        )
    if held - set(counts):
        log.warning(
            "%s: classes without a training case, which can never be answered: %s", found.name, _few(held - set(counts))
        )
    single = {name for name, count in counts.items() if count == 1}
    if single:
        log.warning(
            "%s: %d of %d classes have a single training case: %s", found.name, len(single), len(counts), _few(single)
        )


def _few(names: set[str]) -> str:
    return ", ".join(sorted(names)[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
