"""The pictures made of levels, `stack`, `gasf`, `recurrence` and `spectrogram`, against their formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from vlm_tsc.representation.gasf import draw_gasf
from vlm_tsc.representation.line import panel_grid
from vlm_tsc.representation.panels import enlarged, grey, to_length, viridis
from vlm_tsc.representation.recurrence import draw_recurrence
from vlm_tsc.representation.spectrogram import draw_spectrogram, window_length
from vlm_tsc.representation.stack import draw_stack
from vlm_tsc.representation.styles import draw_as

STYLES = ("stack", "gasf", "recurrence", "spectrogram")
COLOURS = {"stack": grey(), "recurrence": grey(), "gasf": viridis(), "spectrogram": viridis()}
STEP = 1.6 / 255  # of viridis, in which some neighbours are the same colour in 8 bits; of grey it is 0.6


def levels_of(style: str, picture: np.ndarray) -> np.ndarray:
    """The levels 0..1 whose colours a picture shows: (height, width)."""
    apart = np.abs(picture[:, :, None].astype(int) - COLOURS[style]).sum(axis=3)
    assert (apart.min(axis=2) == 0).all(), "a colour that is not of the map"
    return apart.argmin(axis=2) / 255


def walk(n_timepoints: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, n_timepoints)).cumsum(axis=1)


def scaled(values: np.ndarray, low: float, high: float) -> list[float]:
    return [min(max((value - low) / (high - low), 0.0), 1.0) for value in values.tolist()]


@pytest.mark.parametrize("n_timepoints", [3, 12, 40])
def test_gasf_is_the_cosine_of_the_sum_of_angles(n_timepoints):
    case = walk(n_timepoints)
    limits = np.array([[case.min() - 1, case.max() - 0.2]])  # one end wider than the case, one that cuts it
    angles = [math.acos(2 * share - 1) for share in scaled(case[0], *limits[0])]
    found = levels_of("gasf", draw_gasf(case, (n_timepoints, n_timepoints), limits))
    for i, first in enumerate(angles):
        for j, second in enumerate(angles):
            assert found[i, j] == pytest.approx((math.cos(first + second) + 1) / 2, abs=STEP)


def test_gasf_of_a_long_series_is_that_of_its_piecewise_aggregate():
    case = walk(90)
    low, high = case.min(), case.max()
    means = np.array([np.mean(scaled(case[0], low, high)[3 * i : 3 * i + 3]) for i in range(30)])
    expected = draw_gasf(means[None], (30, 30), np.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(draw_gasf(case, (30, 30)), expected)


@pytest.mark.parametrize(("n_timepoints", "delay"), [(2, 0), (14, 0), (28, 1), (60, 2)])
def test_recurrence_is_the_distance_of_delayed_pairs(n_timepoints, delay):
    case = walk(n_timepoints)
    shares = scaled(case[0], case.min(), case.max())
    n_states = n_timepoints - delay
    states = [(shares[i], shares[i + delay]) for i in range(n_states)]
    found = levels_of("recurrence", draw_recurrence(case, (n_timepoints, n_timepoints)))
    for row in range(n_timepoints):
        for column in range(n_timepoints):
            pair = states[row * n_states // n_timepoints], states[column * n_states // n_timepoints]
            assert found[row, column] == pytest.approx(math.dist(*pair) / math.sqrt(2), abs=0.6 / 255)


def test_recurrence_tells_rising_from_falling_at_the_same_value():
    case = np.concatenate([np.linspace(0, 1, 28), np.linspace(1, 0, 28)])[None]
    found = levels_of("recurrence", draw_recurrence(case, (54, 54)))
    assert found[10, 10] == 0 and found[10, 45] > 0.04  # values 10 and 45 are equal


def test_stack_cuts_the_series_into_rows_that_are_read_as_text():
    case = walk(36)
    shares = scaled(case[0], case.min(), case.max())
    found = levels_of("stack", draw_stack(case, (30, 12)))  # 6 segments of 6: a timepoint is 5 pixels, a row 2
    for row in range(6):
        for column in range(6):
            middle = found[2 * row : 2 * row + 2, 5 * column + 2]
            np.testing.assert_allclose(middle, shares[6 * row + column], atol=0.6 / 255)


def test_stack_of_one_period_a_row_has_equal_rows():
    case = np.sin(2 * np.pi * (np.arange(144) + 0.5) / 12)[None]
    found = levels_of("stack", draw_stack(case, (48, 48)))
    assert np.ptp(found[:, 4:-4], axis=0).max() < 0.01 and np.ptp(found[20]) > 0.95


def test_spectrogram_is_the_windowed_transform_of_each_place():
    n_timepoints, side = 60, 80
    case = walk(n_timepoints)
    values = 2 * np.array(scaled(case[0], case.min(), case.max())) - 1
    values -= values.mean()
    window = window_length(n_timepoints, side)
    half = window // 2
    before = 2 * values[0] - values[half:0:-1]
    after = 2 * values[-1] - values[-2 : -half - 2 : -1]
    padded = np.concatenate([before, values, after])
    weights = [0.5 - 0.5 * math.cos(2 * math.pi * i / window) for i in range(window)]
    found = levels_of("spectrogram", draw_spectrogram(case, (side, side)))
    for column in range(0, side, 9):
        place = column * (n_timepoints + 1) // side
        for row in range(0, side, 9):
            k = side - row * (side + 1) // side
            total = sum(
                weights[i]
                * padded[place + i]
                * complex(math.cos(math.pi * k * i / side), -math.sin(math.pi * k * i / side))
                for i in range(window)
            )
            expected = 1 + 20 * math.log10(max(2 * abs(total) / sum(weights), 1e-9)) / 60
            assert found[row, column] == pytest.approx(min(max(expected, 0), 1), abs=STEP)


def test_spectrogram_agrees_with_scipys_other_implementation():
    case = walk(100, seed=3)
    values = 2 * np.array(scaled(case[0], case.min(), case.max())) - 1
    window = window_length(100, 100)
    transform = ShortTimeFFT(hann(window, sym=False), hop=1, fs=1, mfft=200, scale_to="magnitude")
    inner = slice(window, 100 - window)  # away from the ends, where the two continue the series differently
    amplitude = 2 * np.abs(transform.stft(values - values.mean(), p0=0, p1=100))[:, inner]
    expected = np.clip(1 + 20 * np.log10(amplitude) / 60, 0, 1)[::-1]
    found = levels_of("spectrogram", draw_spectrogram(case, (101, 100)))[:, inner]
    np.testing.assert_allclose(found, enlarged(expected, expected.shape[1], 100), atol=STEP)


@pytest.mark.parametrize("cycles", [8, 40, 90])
def test_a_sine_is_a_level_band_at_its_frequency(cycles):
    case = np.sin(2 * np.pi * cycles * np.arange(256) / 256)[None]
    found = levels_of("spectrogram", draw_spectrogram(case, (128, 128)))
    brightest = found[:, 30:-30].argmax(axis=0)
    np.testing.assert_allclose(127 - brightest, cycles, atol=1.5)  # 128 cycles, half the sampling rate, are the top
    assert found[:, 30:-30].max() > 0.99


def test_a_burst_is_seen_when_it_is():
    case = np.where(np.arange(400) // 100 == 2, np.sin(np.arange(400) * 2.0), 0.0)[None]
    found = levels_of("spectrogram", draw_spectrogram(case, (100, 100)))
    loudest = found.max(axis=0)
    assert (loudest[55:70] > 0.95).all() and (loudest[:40] < 0.2).all() and (loudest[85:] < 0.2).all()


@pytest.mark.parametrize("style", ["gasf", "recurrence"])
def test_time_runs_from_the_upper_left_corner(style):
    """A series that moves at its beginning only: all that is uneven lies in the first rows and columns."""
    case = np.concatenate([np.linspace(0, 1, 10), np.ones(90)])[None]
    found = levels_of(style, draw_as(style, case, (100, 100)))
    assert np.ptp(found[20:, 20:]) == 0 and np.ptp(found[:10, :10]) > 0.3
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n_timepoints", [1, 2, 3, 15, 17, 333, 3000])
@pytest.mark.parametrize("n_channels", [1, 2, 7])
@pytest.mark.parametrize("size", [(32, 32), (45, 31)])
@pytest.mark.filterwarnings("error")
def test_every_length_number_of_channels_and_shape_can_be_drawn(style, n_timepoints, n_channels, size):
    case = np.random.default_rng(0).normal(size=(n_channels, n_timepoints)).cumsum(axis=1)
    picture = draw_as(style, case, size)
    assert picture.shape == (size[1], size[0], 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(draw_as(style, case, size), picture)
    if n_timepoints > 2:
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize("style", STYLES)
def test_more_channels_than_pixels(style):
    picture = draw_as(style, np.random.default_rng(0).normal(size=(2000, 9)), (32, 32))
    assert picture.shape == (32, 32, 3)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("value", [0.0, -3.0, 1e200])
@pytest.mark.filterwarnings("error")
def test_a_level_series_is_one_colour_that_is_not_the_blank_pictures(style, value):
    picture = draw_as(style, np.full((1, 20), value), (40, 40))
    assert (picture == picture[0, 0]).all() and (picture != 255).any()


@pytest.mark.parametrize("style", STYLES)
def test_a_channel_is_drawn_in_its_panel_as_if_alone(style):
    case = np.random.default_rng(0).normal(size=(5, 50)).cumsum(axis=1)
    picture = draw_as(style, case, (120, 120))
    rows, columns = panel_grid(5)
    height, width = 120 // rows, 120 // columns
    for i, channel in enumerate(case):
        row, column = divmod(i, columns)
        inner = (width - 2 * (column + 1 < columns), height - 2 * (row + 1 < rows))  # two pixels of paper between
        panel = picture[row * height :, column * width :][: inner[1], : inner[0]]
        np.testing.assert_array_equal(panel, draw_as(style, channel[None], inner))
    for layout in ("colours", "multiples"):
        np.testing.assert_array_equal(draw_as(style, case, (120, 120), None, layout), picture)


@pytest.mark.parametrize("style", STYLES)
def test_limits_keep_level_and_size_and_without_them_scale_does_not_count(style):
    case, limits = walk(80), np.array([[-30.0, 30.0]])
    np.testing.assert_array_equal(draw_as(style, 8 * case, (64, 64)), draw_as(style, case, (64, 64)))
    small, large = (draw_as(style, factor * case, (64, 64), limits) for factor in (0.5, 1.5))
    assert (small != large).any()


@pytest.mark.parametrize("style", STYLES)
def test_a_spike_of_a_long_series_is_not_lost(style):
    case = np.zeros((1, 3000))
    case[0, 1777] = 1.0
    assert len(np.unique(draw_as(style, case, (112, 112)).reshape(-1, 3), axis=0)) > 1


@pytest.mark.parametrize("n", [1, 7, 10, 25, 50])
def test_a_change_of_length_keeps_the_mean_of_every_part(n):
    values = np.random.default_rng(0).normal(size=50)
    fine = np.repeat(values, n)  # n fine values a timepoint, so that n parts take 50 fine values each
    np.testing.assert_allclose(to_length(values, n), fine.reshape(n, 50).mean(axis=1), atol=1e-12)


def test_longer_is_read_off_straight_lines():
    np.testing.assert_allclose(to_length(np.array([0.0, 1.0]), 4), [0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(to_length(np.array([3.0]), 5), np.full(5, 3.0))


def test_the_maps_grow_lighter_step_by_step():
    """So that they are read in grey and by the colour-blind: lightness alone orders the levels."""
    for colours in (grey(), viridis()):
        lightness = colours @ np.array([0.2126, 0.7152, 0.0722])
        assert (np.diff(lightness) > -0.3).all() and lightness[-1] - lightness[0] > 190
