"""The scaling of a network's input, learned from the training cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlm_tsc.representation.limits import is_z_normalised


@dataclass(frozen=True)
class Scaling:
    """value → (value - mean) / deviation, per channel; both (n_channels,) float64."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, cases: Sequence[np.ndarray]) -> Scaling:
        """From training cases (n_channels, n_timepoints); no change where each of them is z-normalised already.

        By the whole training part and not case by case, because level and size may tell classes apart.
        """
        n_channels = len(cases[0])
        if is_z_normalised(cases):
            return cls(np.zeros(n_channels), np.ones(n_channels))
        values = np.concatenate(list(cases), axis=1, dtype=np.float64)
        deviation = values.std(axis=1)
        return cls(values.mean(axis=1), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, case: np.ndarray) -> np.ndarray:
        return (case - self.mean[:, None]) / self.deviation[:, None]
