"""Which values stand at the lower and upper edge of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_KEPT = 0.998  # share of the training values inside the "train" limits: one spike must not flatten every other case


def case_limits(case: np.ndarray) -> np.ndarray:
    """Minimum and maximum of each channel: (n_channels, 2)."""
    return np.stack([case.min(axis=1), case.max(axis=1)], axis=1)


def train_limits(cases: Sequence[np.ndarray]) -> np.ndarray:
    """Limits shared by all cases, (n_channels, 2): the central 99.8 % of the training values of each channel.

    Parameters
    ----------
    cases : sequence of ndarray (n_channels, n_timepoints)
        The training cases only: limits must not know the test split.
    """
    values = np.concatenate(list(cases), axis=1)
    return np.quantile(values, [(1 - _KEPT) / 2, (1 + _KEPT) / 2], axis=1).T


def choose_limits(rule: str, train_cases: Sequence[np.ndarray]) -> np.ndarray | None:
    """Limits for a dataset: None means each case's own.

    "auto" keeps the level and size of a case visible where they can tell classes apart: shared limits, unless every
    training case has mean 0 and standard deviation 1 (as in most of the UCR archive), where they carry nothing and the
    case's own limits use the whole height.
    """
    if rule == "case" or (rule == "auto" and is_z_normalised(train_cases)):
        return None
    return train_limits(train_cases)


def is_z_normalised(cases: Sequence[np.ndarray]) -> bool:
    """Whether every channel of every case has mean 0 and standard deviation 1 (or 0), to within 0.02."""
    means = np.array([case.mean(axis=1) for case in cases])
    deviations = np.array([case.std(axis=1) for case in cases])
    # the archive's donors divided by n or by n - 1: for 24 points that is a factor of 1.02
    lengths = np.array([[case.shape[1]] for case in cases])
    tolerance = 0.02 + 1 / lengths
    close = (np.abs(deviations - 1) < tolerance) | (deviations < 1e-9)
    return bool((np.abs(means) < 0.02).all() and close.all())
