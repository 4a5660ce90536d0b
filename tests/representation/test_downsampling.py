from __future__ import annotations

import math

import numpy as np
import pytest
from tsdownsample import LTTBDownsampler

from vlm_tsc.errors import InputError
from vlm_tsc.representation import METHODS, downsample, n_points
from vlm_tsc.representation.downsampling import adaptive_indices, lttb_indices

REDUCING = [method for method in METHODS if method != "none"]


def series(n_channels: int, n_timepoints: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_channels, n_timepoints)).cumsum(axis=1)


@pytest.mark.parametrize("method", REDUCING)
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("n_timepoints", [2, 3, 5, 24, 101])
def test_length_is_the_ceiling_but_at_least_two(method: str, n_channels: int, n_timepoints: int) -> None:
    for factor in [1, 2, 3, 7, n_timepoints - 1, n_timepoints, 10 * n_timepoints]:
        reduced = downsample(series(n_channels, n_timepoints), factor, method)
        expected = max(math.ceil(n_timepoints / factor), 2)
        assert reduced.shape == (n_channels, expected)
        assert n_points(n_timepoints, factor) == expected


@pytest.mark.parametrize("method", METHODS)
def test_factor_one_changes_nothing(method: str) -> None:
    case = series(2, 13)
    assert np.array_equal(downsample(case, 1, method), case)


@pytest.mark.parametrize(("n_timepoints", "factor"), [(24, 2), (24, 5), (7, 3), (10, 9), (7, 7), (2, 9)])
def test_mean_equals_the_mean_of_every_block(n_timepoints: int, factor: int) -> None:
    case = series(2, n_timepoints)
    size = factor if factor < n_timepoints else math.ceil(n_timepoints / 2)
    blocks = [case[:, start : start + size].mean(axis=1) for start in range(0, n_timepoints, size)]
    np.testing.assert_allclose(downsample(case, factor, "mean"), np.stack(blocks, axis=1), rtol=1e-12)


@pytest.mark.parametrize("choose", [adaptive_indices, lttb_indices])
@pytest.mark.parametrize("n_timepoints", [2, 3, 4, 9, 50, 99, 100, 101])
def test_indices_rise_and_keep_the_ends(choose, n_timepoints: int) -> None:
    for seed in range(5):
        for n_kept in {2, 3, n_timepoints // 2, n_timepoints - 1, n_timepoints}:
            if not 2 <= n_kept <= n_timepoints:
                continue
            case = series(2, n_timepoints, seed)
            case[0, : n_timepoints // 2] = 0.0  # a level stretch beside a moving one
            indices = choose(case, n_kept)
            assert len(indices) == n_kept
            assert indices[0] == 0 and indices[-1] == n_timepoints - 1
            assert (np.diff(indices) > 0).all()


@pytest.mark.parametrize("value", [0.0, 5.5, -1e300])
def test_adaptive_on_a_constant_series_is_a_uniform_grid(value: float) -> None:
    indices = adaptive_indices(np.full((2, 101), value), 11)
    assert indices.tolist() == list(range(0, 101, 10))


def test_adaptive_is_denser_where_the_series_moves() -> None:
    level, moving = np.zeros(100), np.sin(np.arange(100))
    indices = adaptive_indices(np.concatenate([level, moving])[None], 40)
    assert (indices >= 100).sum() > 2 * (indices < 100).sum() > 10


def test_adaptive_ignores_the_units_of_channels() -> None:
    case = series(3, 60)
    scaled = case * np.array([[1e-9], [1.0], [1e200]])
    assert adaptive_indices(scaled, 20).tolist() == adaptive_indices(case, 20).tolist()


def test_lttb_equals_the_library_on_one_channel() -> None:
    case = series(1, 200)
    expected = LTTBDownsampler().downsample(case[0], n_out=50)
    assert np.array_equal(downsample(case, 4, "lttb"), case[:, expected])


def test_lttb_keeps_opposite_spikes_of_two_channels() -> None:
    case = np.random.default_rng(0).normal(size=(2, 200)) * 0.01
    case[0, 77], case[1, 77], case[1, 130] = 5.0, -5.0, -5.0
    assert {77, 130} <= set(lttb_indices(case, 40).tolist())


def test_bad_input_is_named() -> None:
    case = series(1, 10)
    with pytest.raises(InputError, match="did you mean adaptive"):
        downsample(case, 2, "adaptiv")
    with pytest.raises(InputError, match="--downsample"):
        downsample(case, 0)
    with pytest.raises(InputError, match="contradicts"):
        downsample(case, 2, "none")
