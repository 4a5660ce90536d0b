"""Facts about a series against independent computations and against series whose facts are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vlm_tsc.pretrain.facts import facts
from vlm_tsc.pretrain.synthetic import corpus

T = np.linspace(0, 1, 200, endpoint=False)


def _of(x: np.ndarray) -> dict:
    return facts(np.asarray(x, dtype=float)[None])["channels"][0]


@pytest.mark.parametrize("cycles", [2, 3, 7, 20])
def test_a_sine_has_its_cycles_peaks_and_crossings(cycles: int):
    got = _of(np.sin(2 * np.pi * cycles * T - 0.3))
    assert got["n_cycles"] == got["n_peaks"] == cycles
    assert abs(got["n_crossings"] - 2 * cycles) <= 1
    assert got["trend"] == "flat"


def test_a_ramp_rises_and_its_mirror_falls():
    up, down = _of(T), _of(-T)
    assert (up["trend"], up["last_value"], up["max_tenth"], up["min_tenth"], up["n_peaks"]) == (
        "rising",
        "higher",
        9,
        0,
        0,
    )
    assert (down["trend"], down["last_value"], down["max_tenth"], down["n_cycles"]) == ("falling", "lower", 0, None)
    assert up["n_crossings"] == 1 and up["roughness"] == "smooth"


def test_white_noise_is_rough_and_a_constant_is_dull():
    assert _of(np.random.default_rng(0).standard_normal(500))["roughness"] == "rough"
    for length in (1, 2, 50):
        got = _of(np.full(length, 3.7))
        assert (got["n_peaks"], got["n_crossings"], got["n_cycles"]) == (0, 0, None)
        assert (got["trend"], got["last_value"], got["roughness"]) == ("flat", "equal", "smooth")


def _peaks_by_definition(x: np.ndarray) -> int:
    """Local maxima whose higher saddle lies more than a quarter of the range below them."""
    n, found = len(x), 0
    for i in range(1, n - 1):
        if not (x[i] > x[i - 1] and x[i] > x[i + 1]):
            continue
        left, right = i, i
        while left > 0 and x[left - 1] <= x[i]:
            left -= 1
        while right < n - 1 and x[right + 1] <= x[i]:
            right += 1
        found += x[i] - max(x[left : i + 1].min(), x[i : right + 1].min()) >= 0.25 * np.ptp(x)
    return found


def test_trend_and_last_value_of_synthetic_cases_equal_plain_computations():
    for case in corpus(6, 150):
        got = facts(case)
        assert (got["n_channels"], got["n_timepoints"]) == case.shape
        for x, fact in zip(case, got["channels"], strict=True):
            if np.ptp(x) < 1e-6 * np.abs(x).max():
                continue
            r, gap = np.corrcoef(np.arange(len(x)), x)[0, 1], (x[-1] - x[0]) / np.ptp(x)
            if abs(abs(r) - 0.6) > 1e-6:
                assert fact["trend"] == ("flat" if abs(r) < 0.6 else "rising" if r > 0 else "falling")
            if abs(abs(gap) - 0.1) > 1e-6:
                assert fact["last_value"] == ("equal" if abs(gap) < 0.1 else "higher" if gap > 0 else "lower")


def test_peaks_crossings_and_extremes_equal_their_definitions():
    rng = np.random.default_rng(3)
    for _ in range(60):
        x = np.cumsum(rng.standard_normal(int(rng.integers(9, 120))))
        got = _of(x)
        assert got["n_peaks"] == _peaks_by_definition(x)
        above = [value > x.mean() for value in x]
        assert got["n_crossings"] == sum(a != b for a, b in zip(above[1:], above[:-1], strict=True))
        assert got["max_tenth"] == int(np.flatnonzero(x == x.max())[0] * 10 / len(x))
        assert got["min_tenth"] == int(np.flatnonzero(x == x.min())[0] * 10 / len(x))
        ratio = sum((b - a) ** 2 for a, b in pairwise(x)) / (len(x) - 1) / (2 * np.mean((x - x.mean()) ** 2))
        assert got["roughness"] == ("smooth" if ratio < 0.05 else "medium" if ratio < 0.4 else "rough")
