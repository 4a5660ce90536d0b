"""Signal analysis of a case as text: trend, periods, peaks and roughness, free of units and sampling rates."""

from __future__ import annotations

import numpy as np

from vlm_tsc.representation.statistics import CONSTANT, LEVEL, climb
from vlm_tsc.representation.values import with_channel_names

_LEAST_CYCLES = 2  # what is seen less than twice does not repeat
_SHARES = (0.3, 0.15)  # of the power that the first and the second period must have to be named
_SHORTEST = 8  # timepoints in which periods and peaks are looked for
_PROMINENCE = 1.0  # standard deviations by which a peak must stand out
_NAMED = 3  # places of peaks that are said; further ones are counted


def analysis_text(case: np.ndarray) -> str:
    """Trend, dominant periods, peaks, dips and roughness of every channel.

    The trend is the climb of the least-squares line in standard deviations. Periods, in percent of the duration, are
    the highest maxima of the periodogram (Hann window, trend removed), two cycles at least, with their share of the
    power. Peaks and dips stand out by a standard deviation; their places are in percent of the duration, the most
    prominent three in order of time. Roughness is half the mean square of the differences over the variance
    (half of von Neumann's ratio): 0 for a smooth series, 1 for white noise.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float

    Returns
    -------
    str
        "rising by 1.8 std, period 25% (62% of the power), 2 peaks at 34%, 80%, 1 dip at 50%, roughness 0.01"; one line
        "channel 1: …" per channel for several.
    """
    lines = [_channel_text(channel) for channel in np.asarray(case, dtype=np.float64)]
    return lines[0] if len(lines) == 1 else with_channel_names(lines)


def _channel_text(channel: np.ndarray) -> str:
    scaled = channel / (np.abs(channel).max(initial=0.0) or 1.0)  # so that squares of huge values cannot overflow
    if np.ptp(scaled) <= CONSTANT:
        return "constant"
    z_scores = (scaled - scaled.mean()) / scaled.std()
    parts = [_trend_text(climb(scaled)), _periods_text(z_scores)]
    parts += [_places_text(z_scores, "peak"), _places_text(-z_scores, "dip")]
    return ", ".join([*parts, f"roughness {np.mean(np.diff(z_scores) ** 2) / 2:.2f}"])


def _trend_text(climbed: float) -> str:
    if abs(climbed) < LEVEL:
        return "level"
    return f"{'rising' if climbed > 0 else 'falling'} by {abs(climbed):.1f} std"


def _periods_text(values: np.ndarray) -> str:
    found = periods(values)
    if not found:
        return "no period"
    (period, share), *others = found
    more = "".join(f" and {other:.0f}% ({rest:.0%})" for other, rest in others)
    return f"period {period:.0f}% ({share:.0%} of the power){more}"


def periods(values: np.ndarray) -> list[tuple[float, float]]:
    """At most two periods, in percent of the duration, each with its share of the power; the stronger first."""
    n_timepoints = values.size
    if n_timepoints < _SHORTEST:
        return []
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_timepoints) / n_timepoints)
    power = np.abs(np.fft.rfft(_without_trend(values, window) * window)) ** 2
    power[0] = 0.0
    total = power.sum()
    if total <= CONSTANT * n_timepoints:  # a straight line
        return []
    inner, sides = power[1:-1], np.maximum(power[:-2], power[2:])
    maxima = [k for k in np.flatnonzero(inner > sides) + 1 if k >= _LEAST_CYCLES]
    maxima.sort(key=lambda k: -power[k])
    found = []
    for k, least in zip(maxima, _SHARES, strict=False):
        near = power[k - 1 : k + 2]  # over which the window spreads one frequency
        share = float(near.sum() / total)
        if share < least:
            break
        cycles = float(near @ np.arange(k - 1, k + 2) / near.sum())
        found.append((100 / cycles, share))
    return found


def _without_trend(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values minus their weighted least-squares line: unweighted, two cycles of a sine would pass for a slope."""
    centred = values - weights @ values / weights.sum()
    time = np.linspace(-1, 1, values.size)
    time = time - weights @ time / weights.sum()
    return centred - time * (weights * time @ centred) / (weights * time @ time)


def _places_text(values: np.ndarray, name: str) -> str:
    places, n_found = prominent_peaks(values)
    if not n_found:
        return f"no {name}"
    said = ", ".join(f"{place:.0f}%" for place in places)
    return f"{n_found} {name}{'s' * (n_found > 1)}{', the largest' * (n_found > len(places))} at {said}"


def prominent_peaks(z_scores: np.ndarray) -> tuple[list[float], int]:
    """Places of at most three peaks in percent of the duration, in order of time, and how many there are."""
    from scipy.signal import find_peaks  # only when it is asked for: it takes a tenth of a second to import

    if z_scores.size < _SHORTEST:
        return [], 0
    found, facts = find_peaks(z_scores, prominence=_PROMINENCE)
    largest = np.argsort(-facts["prominences"], kind="stable")[:_NAMED]
    return sorted(float(i) * 100 / (z_scores.size - 1) for i in found[largest]), len(found)
