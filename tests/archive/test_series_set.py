from __future__ import annotations

import numpy as np
import pytest

from vlm_tsc.archive import SeriesSet


def made(X):
    return SeriesSet(
        X, np.array(["b", "a", "b"]), ("a", "b", "c"), "Made", ("train-00000", "train-00001", "train-00002")
    )


def test_equal_lengths():
    cases = made(np.zeros((3, 2, 5)))
    assert (cases.n_cases, cases.n_channels, cases.n_timepoints) == (3, 2, 5)
    assert cases.counts == {"a": 1, "b": 2, "c": 0}


def test_unequal_lengths():
    cases = made([np.zeros((1, n)) for n in (4, 5, 6)])
    assert cases.n_timepoints is None and cases.lengths.tolist() == [4, 5, 6] and cases.n_channels == 1


@pytest.mark.parametrize("X", [np.arange(6.0).reshape(3, 1, 2), [np.full((1, n), float(n)) for n in (2, 3, 4)]])
def test_select_keeps_the_order_asked_for(X):
    some = made(X).select(np.array([2, 0]))
    assert some.ids == ("train-00002", "train-00000") and some.y.tolist() == ["b", "b"]
    assert type(some.X) is type(X) and some.class_names == ("a", "b", "c")
    for case, expected in zip(some.X, (X[2], X[0]), strict=True):
        np.testing.assert_array_equal(case, expected)
