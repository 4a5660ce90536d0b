from __future__ import annotations

import re

import numpy as np
import pytest

from vlm_tsc.representation import statistics_text

LINE = re.compile(r"min (\S+) at (\d+)%, max (\S+) at (\d+)%, mean (\S+), std (\S+), (rising|falling|level)")


@pytest.mark.parametrize("n_timepoints", [2, 3, 24, 1000])
def test_numbers_equal_numpy(n_timepoints: int) -> None:
    channel = np.random.default_rng(n_timepoints).normal(size=n_timepoints) * 7
    low, low_at, high, high_at, mean, std, trend = LINE.fullmatch(statistics_text(channel[None], 3)).groups()
    expected = [channel.min(), channel.max(), channel.mean(), channel.std()]
    assert [float(x) for x in (low, high, mean, std)] == pytest.approx(expected, abs=5.1e-4)
    end = n_timepoints - 1
    assert (int(low_at), int(high_at)) == (round(100 * channel.argmin() / end), round(100 * channel.argmax() / end))
    climb = np.polyfit(np.linspace(0, 1, n_timepoints), channel, 1)[0]
    wanted = "level" if abs(climb) < 0.1 * channel.std() else "rising" if climb > 0 else "falling"
    assert trend == wanted


def test_one_line_per_channel() -> None:
    text = statistics_text(np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]), 1)
    assert text == (
        "channel 1: min 0.0 at 0%, max 2.0 at 100%, mean 1.0, std 0.8, rising\n"
        "channel 2: min 0.0 at 100%, max 2.0 at 0%, mean 1.0, std 0.8, falling"
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e200])
def test_constant_series(value: float) -> None:
    text = statistics_text(np.full((1, 10), value), 1)
    assert text.endswith("std 0.0, level")
    assert "nan" not in text and "inf" not in text


def test_huge_values_do_not_overflow() -> None:
    assert "inf" not in statistics_text(np.array([[1e300, -1e300, 1e300]]), 1)


def test_a_single_point_is_described() -> None:
    assert statistics_text(np.array([[2.0]]), 1) == "min 2.0 at 0%, max 2.0 at 0%, mean 2.0, std 0.0, level"
