from __future__ import annotations

import re

import numpy as np
import pytest

from vlm_tsc.representation import analysis_text
from vlm_tsc.representation.analysis import periods, prominent_peaks

TIME = np.arange(200) / 200
LINE = re.compile(
    r"(level|(rising|falling) by \d+\.\d std), (no period|period \d+% \(\d+% of the power\)( and \d+% \(\d+%\))?), "
    r"(no peak|1 peak at \d+%|\d+ peaks(, the largest)? at \d+%(, \d+%){0,2}), "
    r"(no dip|1 dip at \d+%|\d+ dips(, the largest)? at \d+%(, \d+%){0,2}), roughness \d\.\d\d"
)


def part(series: np.ndarray, i: int) -> str:
    """Trend, period, peaks, dips and roughness are parts 0 to 4."""
    return re.split(r", (?=no |period|\d+ (?:peak|dip)|roughness)", analysis_text(series[None]))[i]


def test_a_text_in_full() -> None:
    """Peaks and dips are where the derivative 3 + 4 pi cos(4 pi t) is 0: t = 0.144, 0.356, 0.644, 0.856."""
    series = 3 * TIME + np.sin(2 * np.pi * 2 * TIME)
    assert analysis_text(series[None]) == (
        "rising by 2.3 std, period 50% (100% of the power), 2 peaks at 15%, 65%, 2 dips at 36%, 86%, roughness 0.00"
    )


@pytest.mark.parametrize("slope", [-4.0, -0.01, 0.0, 0.5, 3.0])
def test_the_trend_is_that_of_polyfit(slope: float) -> None:
    series = slope * TIME + 0.3 * np.random.default_rng(0).normal(size=200)
    climbed = np.polyfit(np.linspace(0, 1, 200), series, 1)[0] / series.std()
    wanted = "level" if abs(climbed) < 0.1 else f"{'rising' if climbed > 0 else 'falling'} by {abs(climbed):.1f} std"
    assert part(series, 0) == wanted


@pytest.mark.parametrize("cycles", [2, 3, 5, 12.5, 40])
def test_the_period_of_a_sine_whatever_its_phase(cycles: float) -> None:
    for phase in (0.0, 1.0, 2.5):
        (period, share), *_ = periods(np.sin(2 * np.pi * cycles * TIME + phase))
        assert period == pytest.approx(100 / cycles, rel=0.04) and share > 0.8


def test_two_periods_the_stronger_first() -> None:
    series = np.sin(2 * np.pi * 4 * TIME) + 0.7 * np.sin(2 * np.pi * 20 * TIME)
    assert part(series, 1) == "period 25% (67% of the power) and 5% (33%)"


@pytest.mark.parametrize("series", [np.random.default_rng(1).normal(size=200), TIME**2, np.sin(np.pi * TIME), TIME])
def test_noise_and_what_is_seen_once_have_no_period(series: np.ndarray) -> None:
    assert part(series, 1) == "no period"


def test_peaks_and_dips_by_hand() -> None:
    series = np.zeros(101)
    series[[10, 30, 55, 80]] = 5, 9, 7, 6
    series[[20, 90]] = -8, -0.1  # the second is too small
    assert part(series, 2) == "4 peaks, the largest at 30%, 55%, 80%"
    assert part(series, 3) == "3 dips at 20%, 42%, 67%"  # two of them the level ground between high peaks
    assert prominent_peaks((series - series.mean()) / series.std())[1] == 4


@pytest.mark.parametrize(("series", "least", "most"), [
    (np.random.default_rng(0).normal(size=3000), 0.95, 1.05),
    (np.sin(7 * TIME), 0.0, 0.01),
    (np.tile([1.0, -1.0], 50), 1.9, 2.01),
])  # fmt: skip
def test_roughness(series: np.ndarray, least: float, most: float) -> None:
    assert least <= float(part(series, 4).split()[1]) <= most


def test_one_line_per_channel() -> None:
    first, second = analysis_text(np.stack([TIME, np.cos(2 * np.pi * 3 * TIME)])).split("\n")
    assert first.startswith("channel 1: rising by 3.4 std, no period") and second.startswith(
        "channel 2: level, period 33%"
    )


@pytest.mark.parametrize("n_timepoints", [2, 3, 7, 8, 24, 500])
@pytest.mark.filterwarnings("error")
def test_every_length_has_the_form_and_few_words(n_timepoints: int) -> None:
    for seed in range(5):
        text = analysis_text(np.random.default_rng(seed).normal(size=(1, n_timepoints)).cumsum(axis=1))
        assert LINE.fullmatch(text), text
        assert len(text) < 160


@pytest.mark.parametrize("case", [np.full((1, 10), 0.1), np.full((1, 10), -1e200), np.ones((1, 1)), np.zeros((1, 2))])
@pytest.mark.filterwarnings("error")
def test_constant_series(case: np.ndarray) -> None:
    assert analysis_text(case) == "constant"


def test_level_and_unit_change_nothing() -> None:
    series = np.random.default_rng(0).normal(size=(1, 60)).cumsum(axis=1)
    assert analysis_text(series) == analysis_text(1e4 * series + 3) == analysis_text(1e-4 * series - 7)
