"""A view is a series with one of TimeCLR's ten changes, each as strong as published (Yeh et al., arXiv 2310.03916)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from vlm_tsc.pretrain.masked import views
from vlm_tsc.pretrain.masked.views import CHANGES, view

N = 512
NAMES = [
    *("jittering", "smoothing", "magnitude_warping", "add_slope", "add_spike"),
    *("add_step", "cropping", "masking", "shifting", "time_warping"),
]


def walk(n_points=N, n_channels=2):
    return np.random.default_rng(5).normal(size=(n_channels, n_points)).cumsum(axis=1)


def results(name, series, n=200):
    return [getattr(views, name)(series, np.random.default_rng(seed)) for seed in range(n)]


def test_the_changes_are_the_published_ten():
    assert [change.__name__ for change in CHANGES] == NAMES


def test_a_view_is_one_change_and_all_are_equally_likely(monkeypatch):
    monkeypatch.setattr(views, "CHANGES", [partial(lambda i, points, random: points + i, 2**i) for i in range(10)])
    random = np.random.default_rng(0)
    found = np.array([view(np.zeros((1, 1)), random).item() for _ in range(3000)])
    counts = [(found == 2**i).sum() for i in range(10)]
    assert sum(counts) == 3000 and min(counts) > 240


@pytest.mark.parametrize("change", [*CHANGES, view], ids=lambda change: change.__name__)
def test_a_view_has_the_shape_of_its_series_and_leaves_it_alone(change):
    for n_points in (1, 2, 4, 31, 64):
        series = walk(n_points)
        before = series.copy()
        for seed in range(40):
            changed = change(series, np.random.default_rng(seed))
            assert changed.shape == series.shape and np.isfinite(changed).all()
            np.testing.assert_array_equal(series, before)
        np.testing.assert_array_equal(change(series, np.random.default_rng(39)), changed)
    assert not np.array_equal(changed, series)
    assert np.isfinite(change(np.zeros((1, 8)), np.random.default_rng(0))).all()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_units_do_not_matter(change):
    plain, other = (change(scale * walk(), np.random.default_rng(1)) for scale in (1, 1000))
    np.testing.assert_allclose(1000 * plain, other, rtol=1e-9, atol=1e-6)


def test_jitter_is_a_tenth_of_the_deviation():
    series = walk()
    added = np.stack(results("jittering", series)) - series
    np.testing.assert_allclose(added.std(axis=(0, 2)), 0.1 * series.std(axis=1), rtol=0.02)


def test_smoothing_leaves_nothing_above_half_of_the_frequencies():
    for changed in results("smoothing", walk(), 40):
        np.testing.assert_allclose(np.fft.rfft(changed, axis=1)[:, N // 4 + 1 :], 0, atol=1e-8)
        np.testing.assert_allclose(changed.mean(axis=1), walk().mean(axis=1), rtol=1e-9)


def test_magnitudes_are_multiplied_by_curves_about_one():
    curves = np.stack(results("magnitude_warping", np.ones((2, N))))
    assert curves.mean() == pytest.approx(1, abs=0.1) and 0.8 < np.median(curves.std(axis=2)) < 1.1
    assert not np.allclose(curves[0, 0], curves[0, 1])
    series = walk()
    series[:, ::2] = 0
    assert (results("magnitude_warping", series, 1)[0][:, ::2] == 0).all()


def test_a_slope_is_a_straight_line_of_the_deviation_of_the_series():
    series = walk()
    lines = np.stack(results("add_slope", series, 2000)) - series
    np.testing.assert_allclose(np.diff(lines, 2, axis=2), 0, atol=1e-9)
    np.testing.assert_allclose(lines[:, :, 0].std(axis=0), series.std(axis=1), rtol=0.05)
    np.testing.assert_allclose((lines[:, :, -1] - lines[:, :, 0]).std(axis=0), series.std(axis=1), rtol=0.05)


def test_a_spike_is_at_one_place_in_all_channels():
    series = walk()
    spikes = np.stack(results("add_spike", series, 2000)) - series
    assert ((spikes != 0).sum(axis=2) == 1).all()
    assert all(np.array_equal(*(one != 0)) for one in spikes)
    np.testing.assert_allclose(spikes.sum(axis=2).std(axis=0), 3 * series.std(axis=1), rtol=0.05)


def test_a_step_raises_one_part_of_at_least_a_tenth_by_the_deviation():
    series = walk()
    shares = []
    for changed in results("add_step", series):
        raised = ~np.isclose(changed, series)
        np.testing.assert_allclose((changed - series)[raised].reshape(2, -1).T - series.std(axis=1), 0, atol=1e-9)
        assert np.array_equal(*raised) and np.abs(np.diff(raised[0].astype(int))).sum() <= 2
        shares.append(raised[0].mean())
    assert min(shares) > 0.1 - 1 / N and max(shares) > 0.9


def parts(name, monkeypatch):
    """Which points of a series the change of that name stretches to the whole, many times."""
    seen = []
    monkeypatch.setattr(views, "resample", lambda part, n, axis: seen.append((part, n)) or np.zeros((1, n)))
    results(name, np.arange(N)[None])
    assert all(n == N for _, n in seen)
    return [part[0] for part, _ in seen]


def test_a_crop_is_one_part_of_at_least_a_tenth_stretched_to_the_whole(monkeypatch):
    found = parts("cropping", monkeypatch)
    assert all((np.diff(part) == 1).all() for part in found)
    shares = [len(part) / N for part in found]
    assert min(shares) > 0.1 - 1 / N and max(shares) > 0.9
    assert len({part[0] for part in found}) > 100


def test_a_mask_sets_one_part_of_at_most_a_half_to_the_mean():
    series, shares = walk(), []
    for changed in results("masking", series):
        hidden = changed != series
        np.testing.assert_array_equal(changed, np.where(hidden, series.mean(axis=1, keepdims=True), series))
        assert np.array_equal(*hidden) and np.abs(np.diff(hidden[0].astype(int))).sum() <= 2
        shares.append(hidden[0].mean())
    assert 0.45 < max(shares) <= 0.5 + 1 / N and min(shares) < 0.05


def test_a_shift_goes_round_the_end_by_any_way():
    series = np.arange(2 * N).reshape(2, N)
    ways = [int(changed[0, 0]) for changed in results("shifting", series)]
    for changed, way in zip(results("shifting", series), ways, strict=True):
        np.testing.assert_array_equal(changed, np.roll(series, -way, axis=1))
    assert np.histogram(ways, 4, (0, N))[0].min() > 25


def test_time_is_warped_by_leaving_out_up_to_half_of_the_points(monkeypatch):
    found = parts("time_warping", monkeypatch)
    assert all((np.diff(part) > 0).all() for part in found)
    shares = [len(part) / N for part in found]
    assert 0.5 <= min(shares) < 0.55 and 0.95 < max(shares) <= 1
