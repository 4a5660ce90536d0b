"""A linear classifier that is as sure as it is right: which features it reads, and how sharp its answers are.

Both are chosen on training cases that a fit has not seen. On the cases it was fitted to, a ridge classifier of
thousands of features is right and sure whatever it is worth.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vlm_tsc.answer.linear import ridge_classifier

_SHARPNESS = np.geomspace(0.5, 16, 11)  # of the softmax over the ridge's scores, which are about -1 and 1
_USUAL = 2.0  # where no class has two cases, and nothing can be held out
_FOLDS = 3


@dataclass(frozen=True)
class Teacher:
    """`softmax((features - mean) / scale @ weights + offset)`; all tensors are float32.

    Attributes
    ----------
    mean, scale : Tensor (n_features,)
    weights : Tensor (n_features, n_classes)
    offset : Tensor (n_classes,)
    """

    mean: torch.Tensor
    scale: torch.Tensor
    weights: torch.Tensor
    offset: torch.Tensor

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """How likely each class is: `(n_cases, n_features)` -> `(n_cases, n_classes)`."""
        of = {name: tensor.to(features.device) for name, tensor in vars(self).items()}
        scores = (features - of["mean"]) / of["scale"] @ of["weights"] + of["offset"]
        return torch.softmax(scores, dim=1)


def fit_teacher(features: Mapping[str, np.ndarray], y: np.ndarray, case: np.ndarray, seed: int) -> tuple[str, Teacher]:
    """The teacher, and the name of the features that it reads: those with the least log-loss of held-out cases.

    Parameters
    ----------
    features : mapping
        Name -> `(n_pictures, n_features)` float32, of the same pictures.
    y : ndarray (n_pictures,), int
        Classes; every class is among them.
    case : ndarray (n_pictures,), int
        Which case a picture is a view of; all views of a case are held out together.
    seed : int
        Of the folds.
    """
    found = []
    for name, X in features.items():
        fitted = ridge_classifier().fit(X, y)
        log_loss, sharpness = _calibrated(X, y, case, float(fitted[-1].alpha_), seed)
        found.append((log_loss, name, sharpness, fitted))
    _, name, sharpness, (scaler, ridge) = min(found, key=lambda one: one[0])
    weights, offset = np.atleast_2d(ridge.coef_).T, np.atleast_1d(ridge.intercept_)
    if weights.shape[1] == 1:
        weights, offset = _both_classes(weights), _both_classes(offset[None])[0]
    parts = (scaler.mean_, scaler.scale_, sharpness * weights, sharpness * offset)
    return name, Teacher(*(torch.tensor(part, dtype=torch.float32).contiguous() for part in parts))


def _calibrated(X: np.ndarray, y: np.ndarray, case: np.ndarray, alpha: float, seed: int) -> tuple[float, float]:
    """The least log-loss of held-out cases, and the sharpness that gives it; a class of one case is never held out."""
    cases, firsts = np.unique(case, return_index=True)
    counts = np.bincount(y[firsts])
    several = cases[counts[y[firsts]] > 1]
    if len(several) == 0:
        return 0.0, _USUAL
    labels = y[firsts][np.isin(cases, several)]
    folds = StratifiedKFold(min(_FOLDS, int(np.bincount(labels).max())), shuffle=True, random_state=seed)
    scores, truth = [], []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # its two cases are in two folds
        parts = [held for _, held in folds.split(labels, labels)]
    for held in parts:
        out = np.isin(case, several[held])
        fitted = make_pipeline(StandardScaler(), RidgeClassifier(alpha=alpha)).fit(X[~out], y[~out])
        made = fitted.decision_function(X[out])
        scores.append(_both_classes(made[:, None]) if made.ndim == 1 else made)
        truth.append(y[out])
    judged, right = torch.from_numpy(np.concatenate(scores)), np.concatenate(truth)
    losses = [-float((one * judged).log_softmax(1)[np.arange(len(right)), right].mean()) for one in _SHARPNESS]
    best = int(np.argmin(losses))
    return losses[best], float(_SHARPNESS[best])


def _both_classes(second: np.ndarray) -> np.ndarray:
    """Of two classes, scikit-learn keeps the second one's score `(n, 1)` alone: `(n, 2)`."""
    return np.hstack([-second, second])
