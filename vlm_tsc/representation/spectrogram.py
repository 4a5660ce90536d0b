"""The `spectrogram` picture: which frequencies a series has, and when."""

from __future__ import annotations

import math

import numpy as np

from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.panels import draw_levels, to_length, viridis

_LEAST = 16  # timepoints: a shorter series is first drawn out to so many
_RANGE = 60.0  # decibels between the darkest and the brightest colour


def draw_spectrogram(
    case: np.ndarray,
    size: tuple[int, int] = (336, 336),
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Draw one case as power over time and frequency; a panel per channel, as in `stack`.

    Time runs to the right; frequency upwards, from 0 to half the sampling rate. A sine that fills `limits`, or the
    case's own, is 0 dB, yellow; -60 dB and less is dark violet. The level, which is no frequency, is subtracted.
    Windows (Hann) last about 2 sqrt(n) of n timepoints, so that both axes gain as series grow longer; at its ends
    the series is turned about its first and last value, so that each of these is the middle of a window.

    Parameters and result are those of `representation.line.draw`.
    """
    return draw_levels(case, size, limits, _power, viridis())


def _power(share: np.ndarray, width: int, height: int) -> np.ndarray:
    """Decibels as 0..1, the highest frequency first: (n_frequencies, n_windows)."""
    from scipy.signal import stft  # only when it is drawn: it takes a tenth of a second to import

    values = to_length(2 * share - 1, max(len(share), _LEAST))
    window = window_length(len(values), height)
    hop = math.ceil(len(values) / width)
    _, _, spectrum = stft(
        values - values.mean(),
        nperseg=window,
        noverlap=max(window - hop, 0),
        nfft=max(window, 2 * height),  # padded with zeros: a smooth frequency axis instead of a few broad bands
        boundary="odd",
        padded=False,
    )
    amplitude = 2 * np.abs(spectrum[::-1])
    return np.clip(1 + 20 * np.log10(np.maximum(amplitude, 1e-9)) / _RANGE, 0.0, 1.0)


def window_length(n_timepoints: int, height: int) -> int:
    """Timepoints of a window, even: 2 sqrt(n), but no more frequencies than rows of pixels."""
    return 2 * max(4, min(round(math.sqrt(n_timepoints)), height))
