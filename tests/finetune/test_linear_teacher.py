"""The teacher's classifier: scikit-learn's own scores, as sure as held-out cases justify."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vlm_tsc.finetune.linear_teacher import fit_teacher

N_CASES, VIEWS = 60, 3
CASE = np.tile(np.arange(N_CASES), VIEWS)
GRID = np.geomspace(0.5, 16, 11)


def made(n_classes: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three views of every case: features that tell the classes `apart`, and classes."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(N_CASES) % n_classes, VIEWS)
    own = np.tile(rng.normal(size=(N_CASES, 40)), (VIEWS, 1))
    X = own + 0.3 * rng.normal(size=(len(y), 40)) + apart * np.eye(n_classes, 40)[y]
    return X.astype(np.float32), y


def scores_of(fitted, X: np.ndarray) -> np.ndarray:
    scores = fitted.decision_function(X)
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def shares(teacher, X: np.ndarray) -> np.ndarray:
    return teacher.shares(torch.tensor(X)).numpy()


@pytest.mark.parametrize(("n_classes", "apart"), [(2, 4), (2, 0), (4, 4), (20, 9)])
def test_it_answers_as_scikit_learns_ridge_classifier_sharpened_on_held_out_cases(n_classes, apart):
    X, y = made(n_classes, apart)
    _, teacher = fit_teacher({"only": X}, y, CASE, 0)
    ridge = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-1, 5, 13))).fit(X, y)
    alpha = ridge[-1].alpha_
    losses = np.zeros(len(GRID))
    for _, held in StratifiedKFold(3, shuffle=True, random_state=0).split(y[:N_CASES], y[:N_CASES]):
        out = np.isin(CASE, held)
        fold = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=[alpha])).fit(X[~out], y[~out])
        log_p = [log_softmax(one * scores_of(fold, X[out]), axis=1) for one in GRID]
        losses -= [one[np.arange(out.sum()), y[out]].sum() for one in log_p]
    expected = softmax(GRID[losses.argmin()] * scores_of(ridge, X), axis=1)
    np.testing.assert_allclose(shares(teacher, X), expected, atol=1e-4)


def test_it_is_not_sure_of_what_it_only_remembers():
    """Views of one case resemble each other: held out one by one, each would be known by the others."""
    X, y = made(2, apart=0)
    _, remembers = fit_teacher({"only": X}, y, CASE, 0)
    assert shares(remembers, X).max(1).mean() < 0.75
    X, y = made(2, apart=4)
    _, knows = fit_teacher({"only": X}, y, CASE, 0)
    assert shares(knows, X).max(1).mean() > 0.95


def test_it_reads_the_features_that_tell_more_of_held_out_cases():
    (useless, y), (useful, _) = made(3, apart=0), made(3, apart=4, seed=1)
    for names in (("a", "b"), ("b", "a")):
        reads, teacher = fit_teacher(dict(zip(names, (useless, useful), strict=True)), y, CASE, 0)
        assert reads == names[1]
        assert (shares(teacher, useful).argmax(1) == y).mean() > 0.95


@pytest.mark.parametrize("n_single", [1, 3])
def test_a_class_of_one_case_is_known_and_never_held_out(n_single):
    """Of three classes, one or all have a single case."""
    rng = np.random.default_rng(0)
    y = np.array([0, 1, 2]) if n_single == 3 else np.array([0] * 6 + [1] * 6 + [2])
    X = (rng.normal(size=(len(y), 10)) + 9 * np.eye(3, 10)[y]).astype(np.float32)
    _, teacher = fit_teacher({"only": X}, y, np.arange(len(y)), 0)
    assert (shares(teacher, X).argmax(1) == y).all()
