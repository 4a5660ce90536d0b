"""SeriesSet: labelled series of one split, in aeon's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeriesSet:
    """Cases of one split of one dataset.

    Attributes
    ----------
    X : ndarray (n_cases, n_channels, n_timepoints), or list of ndarray (n_channels, n_timepoints), float64
        A list when lengths differ.
    y : ndarray (n_cases,) of str
        Labels exactly as written in the source: "-1", "1.0" and "walk" stay so.
    class_names : tuple of str
        Every class of the dataset, also one that this split lacks; numeric order if all are numbers, else alphabetic.
    name : str
        Name of the dataset.
    ids : tuple of str
        One stable id per case, made of the source's part and index, e.g. "train-00012"; unique over all splits.
    """

    X: np.ndarray | list[np.ndarray]
    y: np.ndarray
    class_names: tuple[str, ...]
    name: str
    ids: tuple[str, ...]

    @property
    def n_cases(self) -> int:
        return len(self.X)

    @property
    def n_channels(self) -> int:
        return self.X[0].shape[0]

    @property
    def lengths(self) -> np.ndarray:
        """n_timepoints of every case, `(n_cases,)` int."""
        return np.array([case.shape[1] for case in self.X])

    @property
    def n_timepoints(self) -> int | None:
        """The one length all cases share, None when lengths differ."""
        lengths = set(self.lengths.tolist())
        return lengths.pop() if len(lengths) == 1 else None

    @property
    def counts(self) -> dict[str, int]:
        """Cases per class, in the order of `class_names`, absent classes as 0."""
        found = Counter(self.y.tolist())
        return {name: found.get(name, 0) for name in self.class_names}

    def select(self, indices: Sequence[int] | np.ndarray) -> SeriesSet:
        """The cases at `indices`, in that order."""
        X = self.X[indices] if isinstance(self.X, np.ndarray) else [self.X[i] for i in indices]
        return SeriesSet(X, self.y[indices], self.class_names, self.name, tuple(self.ids[i] for i in indices))
