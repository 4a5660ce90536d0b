"""The values of a case as text."""

from __future__ import annotations

import numpy as np

# From here on float64 has no decimals worth writing, and numpy's own rounding could overflow.
LARGEST_FIXED = 1e15


def values_text(case: np.ndarray, round_to: int) -> str:
    """All values in order of time, rounded.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
    round_to : int
        Decimals, always all of them written; 0 writes whole numbers.

    Returns
    -------
    str
        "0.53 -1.20 0.00" for one channel; one line "channel 1: 0.53 -1.20" per channel for several. Never "-0.00", and
        never an exponent below 1e15.
    """
    lines = [_channel_text(channel, round_to) for channel in case]
    return lines[0] if len(lines) == 1 else with_channel_names(lines)


def number_text(value: float, round_to: int) -> str:
    """One number as in `values_text`."""
    return _channel_text(np.array([value], dtype=np.float64), round_to)


def with_channel_names(lines: list[str]) -> str:
    """One line "channel 1: …" per channel."""
    return "\n".join(f"channel {i}: {line}" for i, line in enumerate(lines, start=1))


def _channel_text(channel: np.ndarray, round_to: int) -> str:
    if np.abs(channel).max(initial=0.0) >= LARGEST_FIXED:
        return " ".join(_one(value, round_to) for value in channel.tolist())
    rounded = np.round(channel, round_to) + 0.0  # -0.0 + 0.0 is 0.0
    # one format call for the whole channel: several times faster than one per value
    return (f"%.{round_to}f " * rounded.size)[:-1] % tuple(rounded.tolist())


def _one(value: float, round_to: int) -> str:
    return f"{value:.6g}" if abs(value) >= LARGEST_FIXED else f"{np.round(value, round_to) + 0.0:.{round_to}f}"
