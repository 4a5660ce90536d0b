"""Simple true facts about a series, from which captions and questions are made."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import find_peaks

PEAK_PROMINENCE = 0.25  # of the range
TREND_CORRELATION = 0.6  # between value and time, from which a series is called rising or falling
CLOSE_SHARE = 0.1  # of the range, within which first and last value are called equal
PERIOD_SHARE = 0.5  # of the detrended power, that one cycle count and its neighbours must hold


def facts(case: np.ndarray) -> dict[str, Any]:
    """Describe a series in facts that can be checked by eye.

    Parameters
    ----------
    case : np.ndarray
        `(n_channels, n_timepoints)`, finite.

    Returns
    -------
    dict
        `n_channels`, `n_timepoints`, and `channels`: one dict per channel with `n_peaks`, `max_tenth` and `min_tenth`
        (0..9, the tenth of the time axis that holds the first greatest and least value), `last_value` ("higher",
        "lower" or "equal" to the first), `trend` ("rising", "falling", "flat"), `n_crossings` of the mean, `roughness`
        ("smooth", "medium", "rough") and `n_cycles` (dominant cycle count, None when none dominates).
    """
    channels = [_channel_facts(values) for values in np.asarray(case, dtype=float)]
    return {"n_channels": case.shape[0], "n_timepoints": case.shape[1], "channels": channels}


def _channel_facts(x: np.ndarray) -> dict[str, Any]:
    span = float(x.max() - x.min())
    return {
        "n_peaks": count_peaks(x),
        "max_tenth": _tenth(int(x.argmax()), len(x)),
        "min_tenth": _tenth(int(x.argmin()), len(x)),
        "last_value": _compare(float(x[-1] - x[0]), CLOSE_SHARE * span, ("lower", "equal", "higher")),
        "trend": _compare(_correlation_with_time(x), TREND_CORRELATION, ("falling", "flat", "rising")),
        "n_crossings": count_crossings(x),
        "roughness": _roughness(x),
        "n_cycles": dominant_cycles(x),
    }


def count_peaks(x: np.ndarray) -> int:
    """Inner peaks that stand out by more than a quarter of the range."""
    return 0 if _is_constant(x) else len(find_peaks(x, prominence=PEAK_PROMINENCE * np.ptp(x))[0])


def count_crossings(x: np.ndarray) -> int:
    """How often the series passes its mean; points on the mean take the side of the point before."""
    if _is_constant(x):  # rounding of the mean would cross it
        return 0
    side = np.sign(x - x.mean())
    side = side[side != 0]
    return int((side[1:] != side[:-1]).sum())


def dominant_cycles(x: np.ndarray) -> int | None:
    """Cycles in the window (at least 2) when one count, with its two neighbours, holds most of the detrended power."""
    if len(x) < 8 or _is_constant(x):
        return None
    t = np.arange(len(x)) - (len(x) - 1) / 2
    rest = x - x.mean() - t * (t @ x) / (t @ t)
    power = np.abs(np.fft.rfft(rest)) ** 2
    if power.sum() <= 1e-12 * len(x) ** 2 * float(np.abs(x).max()) ** 2:  # a straight line
        return None
    top = int(power.argmax())
    held = power[max(0, top - 1) : top + 2].sum() / power.sum()
    return top if top >= 2 and held >= PERIOD_SHARE else None


def _tenth(index: int, n: int) -> int:
    return min(9, 10 * index // n)


def _correlation_with_time(x: np.ndarray) -> float:
    t = np.arange(len(x)) - (len(x) - 1) / 2
    centred = x - x.mean()
    size = float(np.sqrt((t @ t) * (centred @ centred)))
    return float(t @ centred) / size if size > 0 and not _is_constant(x) else 0.0


def _is_constant(x: np.ndarray) -> bool:
    return bool(np.ptp(x) <= 1e-9 * max(1e-150, float(np.abs(x).max())))


def _compare(value: float, tolerance: float, words: tuple[str, str, str]) -> str:
    return words[1] if abs(value) <= tolerance else words[2] if value > 0 else words[0]


def _roughness(x: np.ndarray) -> str:
    """By the mean square of the first difference against twice the variance (0 for a slow curve, 1 for white noise)."""
    if _is_constant(x):
        return "smooth"
    ratio = float((np.diff(x) ** 2).mean()) / (2 * float(x.var()))
    return "smooth" if ratio < 0.05 else "medium" if ratio < 0.4 else "rough"
