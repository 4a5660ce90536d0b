"""What to do about missing values and unequal lengths, and what no policy can mend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from vlm_tsc.archive.part import Part
from vlm_tsc.errors import InputError

Missing = Literal["error", "interpolate"]
Lengths = Literal["keep", "pad", "resample"]


def without_missing(part: Part, missing: Missing) -> list[np.ndarray]:
    """Cases `(n_channels, n_timepoints)` of finite numbers, at least 2 timepoints each.

    Parameters
    ----------
    part : Part
        Cases as read; NaN is a missing value.
    missing : "error" or "interpolate"
        Refuse a missing value, or draw a straight line between its neighbours in time (at an end: repeat the nearest).

    Raises
    ------
    InputError
        With the place of the first: infinite value, missing value under "error", channel without any value under
        "interpolate", case with fewer than 2 timepoints.
    """
    _refuse_infinite(part)
    for i, case in enumerate(part.cases):
        if case.shape[1] < 2:
            what = "a case is empty" if case.shape[1] == 0 else "a case has a single timepoint"
            raise InputError(what, where=part.place(i), got=f"length {case.shape[1]}", allowed="at least 2 timepoints")
    gaps = [i for i, case in enumerate(part.cases) if np.isnan(case).any()]
    if gaps and missing == "error":
        channel, timepoint = np.argwhere(np.isnan(part.cases[gaps[0]]))[0]
        raise InputError(
            f"{len(gaps)} of {len(part.cases)} cases have missing values",
            where=part.place(gaps[0], channel, timepoint),
            got="NaN",
            allowed="numbers only, with --missing error",
            fix="--missing interpolate draws a straight line over each gap",
        )
    filled = {i: _interpolated(part, i) for i in gaps}
    return [filled.get(i, case) for i, case in enumerate(part.cases)]


def _refuse_infinite(part: Part) -> None:
    bad = [i for i, case in enumerate(part.cases) if np.isinf(case).any()]
    if bad:
        case = part.cases[bad[0]]
        channel, timepoint = np.argwhere(np.isinf(case))[0]
        what = f"{len(bad)} of {len(part.cases)} cases have infinite values"
        where = part.place(bad[0], channel, timepoint)
        raise InputError(what, where=where, got=case[channel, timepoint], allowed="finite numbers")


def _interpolated(part: Part, index: int) -> np.ndarray:
    case = part.cases[index]
    time = np.arange(case.shape[1])
    known = ~np.isnan(case)
    empty = np.flatnonzero(~known.any(axis=1))
    if len(empty):
        raise InputError(
            "a channel has no value to interpolate from", where=part.place(index, empty[0]), got="only NaN"
        )
    return np.stack([np.interp(time, time[k], row[k]) for row, k in zip(case, known, strict=True)])


def with_lengths(
    train: list[np.ndarray], test: list[np.ndarray], lengths: Lengths
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both parts under a length policy; cases `(n_channels, n_timepoints)` without NaN.

    "keep" changes nothing. "pad" appends zeros up to the longest case of both parts, because nothing may be cut.
    "resample" stretches every case linearly to the longest case of train: what test holds decides nothing.
    """
    if lengths == "pad":
        n_timepoints = _longest([*train, *test])
        return [_padded(case, n_timepoints) for case in train], [_padded(case, n_timepoints) for case in test]
    if lengths == "resample":
        n_timepoints = _longest(train)
        return [_resampled(case, n_timepoints) for case in train], [_resampled(case, n_timepoints) for case in test]
    return train, test


def at_length(case: np.ndarray, n_timepoints: int, lengths: Lengths) -> np.ndarray:
    """One later case at the length that a policy gave the cases before it; "keep" changes nothing."""
    if lengths == "pad":
        return _padded(case, n_timepoints)
    return _resampled(case, n_timepoints) if lengths == "resample" else case


def _longest(cases: Sequence[np.ndarray]) -> int:
    return max(case.shape[1] for case in cases)


def _padded(case: np.ndarray, n_timepoints: int) -> np.ndarray:
    return np.pad(case, ((0, 0), (0, n_timepoints - case.shape[1])))


def _resampled(case: np.ndarray, n_timepoints: int) -> np.ndarray:
    if case.shape[1] == n_timepoints:
        return case
    old, new = np.linspace(0, 1, case.shape[1]), np.linspace(0, 1, n_timepoints)
    return np.stack([np.interp(new, old, row) for row in case])
