"""The arithmetic of occlusion maps, with scorers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vlm_tsc.use.occlusion import Window, covered, occlusion_map, window_lengths, window_spans


@pytest.mark.parametrize("n_timepoints", [2, 3, 5, 24, 150, 2709])
@pytest.mark.parametrize("n_lengths", [1, 3, 8])
def test_windows_of_every_length_lie_over_every_timepoint_alike(n_timepoints, n_lengths):
    lengths = window_lengths(n_timepoints, n_lengths)
    assert lengths == sorted(set(lengths), reverse=True) and 0 < lengths[-1] <= lengths[0] < n_timepoints
    for length in lengths:
        over = np.zeros(n_timepoints, int)
        for start, end in window_spans(n_timepoints, length):
            assert 0 <= start < end <= n_timepoints and end - start <= length
            over[start:end] += 1
        assert over.min() >= min(length, 3) and over.max() - over.min() <= 2


def test_a_window_is_covered_by_a_line_or_by_its_mean():
    case = np.array([[0.0, 9, 9, 3, 5], [1, 2, 3, 4, 5]])
    before = case.copy()
    assert covered(case, Window(0, 1, 3, 2), "interpolate").tolist() == [[0, 1, 2, 3, 5], [1, 2, 3, 4, 5]]
    assert covered(case, Window(0, 0, 2, 2), "interpolate").tolist()[0] == [9, 9, 9, 3, 5]  # at an end: the nearest
    assert covered(case, Window(1, 3, 5, 2), "interpolate").tolist()[1] == [1, 2, 3, 3, 3]
    assert covered(case, Window(0, 2, 4, 2), "mean").tolist()[0] == [0, 9, 6, 6, 5]
    np.testing.assert_array_equal(case, before)


def test_a_linear_scorers_map_is_what_the_windows_take_from_it():
    """Of a scorer w·x the drop of a window is w·(x - covered x); the mean over windows is written out here."""
    rng = np.random.default_rng(0)
    case, weights = rng.normal(size=(2, 40)), rng.normal(size=(2, 40))
    asked = []

    def log_likelihood(cases):
        asked.append(len(cases))
        return np.array([(weights * one).sum() for one in cases])

    made = occlusion_map(case, log_likelihood, n_lengths=2, fill="mean")
    assert asked == [1 + len(made.windows)] and made.log_likelihood == pytest.approx((weights * case).sum())
    assert {one.length for one in made.windows} == {10, 5} and {one.channel for one in made.windows} == {0, 1}
    for window, drop in zip(made.windows, made.drops, strict=True):
        assert drop == pytest.approx((weights * (case - covered(case, window, "mean"))).sum())
    for channel in (0, 1):
        for t in (0, 17, 39):
            means = [
                np.mean([d for w, d in zip(made.windows, made.drops, strict=True) if _is_over(w, channel, t, length)])
                for length in (10, 5)
            ]
            assert made.importance[channel, t] == pytest.approx(np.mean(means))


def _is_over(window, channel, t, length):
    return window.channel == channel and window.start <= t < window.end and window.length == length


@pytest.mark.parametrize("fill", ["interpolate", "mean"])
def test_the_peak_lies_in_the_segment_that_decides(fill):
    """A classifier that compares a hump's sign, sure or not sure, on noisy backgrounds."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        width, channel = int(rng.integers(15, 40)), int(rng.integers(2))
        start = int(rng.integers(0, 150 - width))
        hump = np.zeros((2, 150))
        hump[channel, start : start + width] = np.hanning(width)
        case = 2 * hump + 0.3 * rng.normal(size=(2, 150)).cumsum(axis=1) / 5
        sharp = rng.uniform(0.3, 2)

        def log_likelihood(cases, hump=hump, sharp=sharp):
            return -np.logaddexp(0, -sharp * np.array([(hump * one).sum() for one in cases]))

        found, timepoint = occlusion_map(case, log_likelihood, fill=fill).peak
        assert found == channel and start <= timepoint < start + width


def test_where_nothing_matters_nothing_peaks():
    made = occlusion_map(np.zeros((1, 2)), lambda cases: np.zeros(len(cases)))
    assert made.importance.tolist() == [[0, 0]] and made.peak == (0, 1)
