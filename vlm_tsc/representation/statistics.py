"""Statistics of a case as text: the same few for any subject, sampling rate and length."""

from __future__ import annotations

import numpy as np

from vlm_tsc.representation.values import number_text, with_channel_names

LEVEL = 0.1  # a fitted line that climbs less than this many standard deviations over the whole series is "level"
CONSTANT = 1e-12  # values in -1..1 that span no more are equal up to rounding errors


def statistics_text(case: np.ndarray, round_to: int) -> str:
    """Range with its places, mean, standard deviation and trend of every channel.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
    round_to : int
        Decimals of the values. Places are in percent of the series' duration, so they need no sampling rate.

    Returns
    -------
    str
        "min -1.59 at 17%, max 1.46 at 83%, mean 0.00, std 1.00, rising"; one line "channel 1: …" per channel for
        several.
    """
    lines = [_channel_text(channel, round_to) for channel in np.asarray(case, dtype=np.float64)]
    return lines[0] if len(lines) == 1 else with_channel_names(lines)


def _channel_text(channel: np.ndarray, round_to: int) -> str:
    low, high = int(channel.argmin()), int(channel.argmax())
    percent = 100 / max(channel.size - 1, 1)
    scale = np.abs(channel).max(initial=0.0) or 1.0
    scaled = channel / scale  # so that squares of huge values cannot overflow
    parts = [
        f"min {number_text(channel[low], round_to)} at {low * percent:.0f}%",
        f"max {number_text(channel[high], round_to)} at {high * percent:.0f}%",
        f"mean {number_text(scaled.mean() * scale, round_to)}",
        f"std {number_text(scaled.std() * scale, round_to)}",
        _trend(scaled),
    ]
    return ", ".join(parts)


def _trend(scaled: np.ndarray) -> str:
    """The sign of the least-squares line of values in -1..1, if it climbs by more than 0.1 deviations."""
    climbed = climb(scaled)
    if abs(climbed) < LEVEL:
        return "level"
    return "rising" if climbed > 0 else "falling"


def climb(scaled: np.ndarray) -> float:
    """How far the least-squares line of values in -1..1 climbs over the whole series, in standard deviations."""
    if scaled.size < 2 or np.ptp(scaled) <= CONSTANT:
        return 0.0
    time = np.linspace(-0.5, 0.5, scaled.size)
    return float((time @ (scaled - scaled.mean())) / (time @ time) / scaled.std())
