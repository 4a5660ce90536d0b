"""Which cases weights were trained on: their hashes, because sets of different names share recordings.

89 of the 316 test cases of GunPointMaleVersusFemale, for one, are in the train part of GunPointOldVersusYoung.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

STEPS = 1000  # to a standard deviation: files write the same recording with more or fewer digits


def case_hashes(cases: Iterable[np.ndarray]) -> np.ndarray:
    """Hashes of cases (n_channels, n_timepoints), each channel z-normalised and rounded: int64, sorted, none twice.

    Cases without any variation, which all look alike, are left out.
    """
    found = {one for case in cases if (one := _hash(case)) is not None}
    return np.array(sorted(found), dtype=np.int64)


def seen_by(X: Iterable[np.ndarray], before: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """Hashes of X and of what the weights had seen `before`, that training began from; None where that is not known."""
    found = [case_hashes(X), *before]
    known = [one for one in found if one is not None]
    return np.unique(np.concatenate(known)) if len(known) == len(found) else None


def n_seen(cases: Iterable[np.ndarray], hashes: np.ndarray, besides: Iterable[np.ndarray] = ()) -> int:
    """How many of the cases have their hash among `hashes`; those that are among `besides` too do not count.

    A test case that is in the train part as well, as a few of the archive's are, is seen by any training.
    """
    known = set(np.setdiff1d(hashes, case_hashes(besides)).tolist())
    return sum(_hash(case) in known for case in cases)


def _hash(case: np.ndarray) -> int | None:
    centred = case - case.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    varies = spread > 1e-9 * np.abs(case).max(axis=1, keepdims=True)
    if not varies.any():
        return None
    steps = np.round(STEPS * centred / np.where(varies, spread, np.inf)).astype("<i4")  # has no -0
    data = str(case.shape).encode() + steps.tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
