"""What pictures made of a grid of levels share: a panel per channel, a series at the panel's resolution, colours."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from vlm_tsc.representation.limits import case_limits
from vlm_tsc.representation.line import heights, panel_grid

_GAP = 2  # pixels of paper between panels …
_GAP_FROM = 16  # … of at least so many pixels: smaller ones have none to spare

# (n_timepoints,) values 0..1, width, height → levels 0..1 of at most (height, width)
Levels = Callable[[np.ndarray, int, int], np.ndarray]


def draw_levels(
    case: np.ndarray, size: tuple[int, int], limits: np.ndarray | None, levels: Levels, colours: np.ndarray
) -> np.ndarray:
    """Draw a panel per channel, each filled by a grid of levels in colours.

    Channels are never laid over each other: a panel has no paper that a second one could show through.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
    size : (int, int)
        Width and height in pixels.
    limits : ndarray (n_channels, 2), optional
        Values that count as 0 and 1, per channel; values outside are cut. Default: the case's minimum and maximum.
    levels : callable
        Makes the grid of one channel.
    colours : ndarray (256, 3), uint8
        From level 0 to level 1.

    Returns
    -------
    ndarray (height, width, 3), uint8
    """
    width, height = size
    shares = heights(case, case_limits(case) if limits is None else limits)
    rows, columns = panel_grid(len(case))
    picture = np.full((height, width, 3), 255, np.uint8)
    for i, share in enumerate(shares):
        row, column = divmod(i, columns)
        top, bottom = _edges(row, rows, height)
        left, right = _edges(column, columns, width)
        if bottom > top and right > left:  # more channels than pixels: what has no place is left out
            grid = enlarged(levels(share, right - left, bottom - top), right - left, bottom - top)
            picture[top:bottom, left:right] = colours[np.rint(grid * 255).astype(np.uint8)]
    return picture


def _edges(index: int, n_panels: int, pixels: int) -> tuple[int, int]:
    """First pixel of a panel along one side of the picture, and the pixel after its last."""
    start, stop = round(pixels * index / n_panels), round(pixels * (index + 1) / n_panels)
    gap = _GAP if index + 1 < n_panels and stop - start >= _GAP_FROM else 0
    return start, stop - gap


def to_length(values: np.ndarray, n: int) -> np.ndarray:
    """`(n_timepoints,)` values as `(n,)`, each timepoint taking an equal part of the time.

    Fewer are means over equal parts of the time (piecewise aggregates), so that no spike is skipped; more are read off
    straight lines between the middles of the timepoints.
    """
    n_timepoints = len(values)
    if n >= n_timepoints:
        middles = (np.arange(n) + 0.5) * n_timepoints / n - 0.5
        return np.interp(middles, np.arange(n_timepoints), values)
    total = np.concatenate([[0.0], np.cumsum(values)])
    edges = np.interp(np.linspace(0, n_timepoints, n + 1), np.arange(n_timepoints + 1), total)
    return np.diff(edges) * (n / n_timepoints)


def enlarged(grid: np.ndarray, width: int, height: int) -> np.ndarray:
    """A grid as `(height, width)`, each cell a rectangle of pixels: cells are not blended."""
    rows = np.arange(height) * grid.shape[0] // height
    columns = np.arange(width) * grid.shape[1] // width
    return grid[rows][:, columns]


@functools.cache
def grey() -> np.ndarray:
    """Black to white, (256, 3) uint8."""
    return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


@functools.cache
def viridis() -> np.ndarray:
    """Dark violet over green to yellow, (256, 3) uint8: equal steps look equal, to the colour-blind and in grey too."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.arange(256), bytes=True)[:, :3].copy()
