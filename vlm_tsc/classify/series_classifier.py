"""aeon's contract as every classifier here keeps it: which series it takes, and in what form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.startup import collection_paused

with collection_paused():  # it brings pandas, scikit-learn, SciPy and numba along
    from aeon.classification.base import BaseClassifier


class SeriesClassifier(BaseClassifier):
    """Series of several channels and of unequal lengths → classes; pickled in memory, without what is live.

    A subclass names its parameters in its own `__init__`, and has `_fit` and `_predict_proba`, as aeon wants it.
    """

    _tags = {  # noqa: RUF012  # aeon reads a plain class attribute
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "X_inner_type": ["np-list", "numpy3D"],
        "non_deterministic": True,  # sums depend on the number of threads
        "cant_pickle": False,
    }

    def _predict(self, X: Any) -> np.ndarray:
        return self.classes_[self._predict_proba(X).argmax(axis=1)]

    def _fitted_to(self, classes: Sequence[Any]) -> None:
        """Know these classes, in this order, as after `fit`: for what is loaded."""
        self.classes_ = np.array(classes)
        self.n_classes_ = len(self.classes_)
        self._class_dictionary = {label: i for i, label in enumerate(self.classes_)}
        self.is_fitted = True


def as_floats(X: Any) -> list[np.ndarray]:
    """Cases as aeon hands them over, an array or a list, as a list of `(n_channels, n_timepoints)` float64."""
    return [np.asarray(case, dtype=np.float64) for case in X]


def training_set(X: Any, y: np.ndarray, classes: np.ndarray) -> SeriesSet:
    """What `fit` was given, labels and classes as text."""
    labels = np.array([str(label) for label in y])
    ids = tuple(f"train-{i:05d}" for i in range(len(labels)))
    return SeriesSet(as_floats(X), labels, tuple(str(label) for label in classes), "series", ids)
