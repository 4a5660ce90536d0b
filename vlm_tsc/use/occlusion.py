"""Occlusion in the series' domain: how much less likely an answer is when a window of the series is not there.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (ECCV 2014, arXiv 1311.2901), with windows of
time in place of patches of a picture: what is covered is the series, so picture and text both lose it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Fill = Literal["interpolate", "mean"]
LogLikelihood = Callable[[Sequence[np.ndarray]], np.ndarray]

LONGEST = 4  # the longest window is a quarter of the series; each further one is half as long
STEPS = 4  # a window moves on by a quarter of its length, so that four of each length lie over a timepoint


@dataclass(frozen=True)
class Window:
    """Timepoints `start` to `end - 1` of a channel, counted from 0; `length` was meant, at an edge less is there."""

    channel: int
    start: int
    end: int
    length: int


@dataclass(frozen=True)
class OcclusionMap:
    """What every window, and so every timepoint, was worth.

    Attributes
    ----------
    log_likelihood : float
        Of the whole case, in nats.
    windows : list of Window
    drops : ndarray (n_windows,)
        By how many nats the log-likelihood fell without the window; negative where it rose.
    importance : ndarray (n_channels, n_timepoints)
        Mean drop of the windows over a timepoint: first of each length, then of the lengths, so that the many short
        windows do not outvote the few long ones.
    """

    log_likelihood: float
    windows: list[Window]
    drops: np.ndarray
    importance: np.ndarray

    @property
    def peak(self) -> tuple[int, int]:
        """Channel and timepoint of the highest importance; of equal neighbours the middle one."""
        channel = int(self.importance.max(axis=1).argmax())
        row = self.importance[channel]
        highest = np.flatnonzero(row >= row.max() - 1e-9 * abs(row.max()))
        run = highest[: int(np.argmax(np.diff(highest, append=np.inf) > 1)) + 1]
        return channel, int(run[len(run) // 2])


def occlusion_map(
    case: np.ndarray, log_likelihood: LogLikelihood, n_lengths: int = 3, fill: Fill = "interpolate"
) -> OcclusionMap:
    """Cover every window of a case in turn.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
        At least 2 timepoints.
    log_likelihood : callable
        Cases of that shape → (n_cases,) log-likelihood of the answer in question, in nats. It is called once.
    n_lengths : int
        Lengths of windows: a quarter of the series, an eighth …
    fill : {"interpolate", "mean"}
        What stands in a window's place, see `covered`.
    """
    n_channels, n_timepoints = case.shape
    windows = [
        Window(channel, start, end, length)
        for channel in range(n_channels)
        for length in window_lengths(n_timepoints, n_lengths)
        for start, end in window_spans(n_timepoints, length)
    ]
    whole, *without = log_likelihood([case, *(covered(case, window, fill) for window in windows)])
    drops = whole - np.array(without)
    return OcclusionMap(float(whole), windows, drops, averaged(windows, drops, case.shape))


def window_lengths(n_timepoints: int, n_lengths: int) -> list[int]:
    """Different lengths, longest first, from 1 to all timepoints but one."""
    lengths = [round(n_timepoints / LONGEST / 2**i) for i in range(n_lengths)]
    return list(dict.fromkeys(min(max(length, 1), n_timepoints - 1) for length in lengths))


def window_spans(n_timepoints: int, length: int) -> list[tuple[int, int]]:
    """(start, end) of windows of one length: evenly spaced, overlapping.

    The first and last stand out over the edges, where they are cut: so as many lie over a timepoint there as elsewhere.
    Otherwise a single whole window would decide for an edge, and an edge would look more decisive than it is.
    """
    step = max(1, length // STEPS)
    first, last = step - length, n_timepoints - step
    starts = np.unique(np.linspace(first, last, -(-(last - first) // step) + 1).round().astype(int))
    return [(max(start, 0), min(start + length, n_timepoints)) for start in starts.tolist()]


def covered(case: np.ndarray, window: Window, fill: Fill) -> np.ndarray:
    """The case without a window: a copy.

    "interpolate" draws a straight line between the values just outside the window (at an end of the series: repeats
    the one there is). "mean" writes the window's own mean, so that its level stays and its shape goes.
    """
    changed = case.copy()
    row, inside = changed[window.channel], slice(window.start, window.end)
    if fill == "mean":
        row[inside] = row[inside].mean()
        return changed
    outside = [i for i in (window.start - 1, window.end) if 0 <= i < len(row)]
    row[inside] = np.interp(np.arange(window.start, window.end), outside, row[outside])
    return changed


def averaged(windows: Sequence[Window], drops: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Drops of windows → importance of timepoints, `shape` = (n_channels, n_timepoints)."""
    by_length = []
    for length in dict.fromkeys(window.length for window in windows):
        total, count = np.zeros(shape), np.zeros(shape)
        for window, drop in zip(windows, drops, strict=True):
            if window.length == length:
                total[window.channel, window.start : window.end] += drop
                count[window.channel, window.start : window.end] += 1
        by_length.append(total / count)
    return np.mean(by_length, axis=0)
