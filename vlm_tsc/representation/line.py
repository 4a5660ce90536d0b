"""The `line` picture: the series as a line plot, drawn straight on an Agg canvas.

A new matplotlib figure per series costs 13-17 ms, nearly all of it axes, ticks and layout. Here only the polyline is
drawn, on a bare canvas of matplotlib's Agg renderer, and the coverage that Agg writes into the alpha plane is the ink.
Same case, same settings, same bytes: nothing depends on rcParams, fonts or the display.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from vlm_tsc.representation.limits import case_limits

# Which colour planes (red, green, blue) a channel's ink darkens on white paper. One channel darkens all: black. Two
# become red and blue and three red, green and blue: crossing lines multiply, so no line ever hides another.
_PLANES = {1: ((0, 1, 2),), 2: ((1, 2), (0, 1)), 3: ((1, 2), (0, 2), (0, 1))}
CHANNELS_PER_PANEL = 3
_DPI = 72  # one point is one pixel
_MARGIN = 0.04  # of the panel's width and height, so that a line at its limits is not cut

ChannelLayout = Literal["auto", "colours", "multiples"]


def draw(
    case: np.ndarray,
    size: tuple[int, int] = (336, 336),
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Draw one case as lines on white.

    Parameters
    ----------
    case : ndarray (n_channels, n_timepoints), float
        Time runs over the whole width, whatever the length. A constant channel is a level line at mid-height.
    size : (int, int)
        Width and height in pixels.
    limits : ndarray (n_channels, 2), optional
        Values at the panel's lower and upper edge, per channel; values outside are cut at the edge. Default: the
        case's own minimum and maximum.
    channels : {"auto", "colours", "multiples"}
        "colours": up to three channels share a panel, as coloured lines; more channels take more panels.
        "multiples": one panel per channel, black. "auto" is "colours".

    Returns
    -------
    ndarray (height, width, 3), uint8
    """
    width, height = size
    limits = case_limits(case) if limits is None else limits
    per_panel = 1 if channels == "multiples" else CHANNELS_PER_PANEL
    groups = [range(start, min(start + per_panel, len(case))) for start in range(0, len(case), per_panel)]
    if len(groups) == 1:
        return _panel(case, limits, width, height)
    rows, columns = panel_grid(len(groups))
    picture = np.full((height, width, 3), 255, np.uint8)
    xs = [round(width * i / columns) for i in range(columns + 1)]
    ys = [round(height * i / rows) for i in range(rows + 1)]
    for i, group in enumerate(groups):
        row, column = divmod(i, columns)
        panel = _panel(case[group], limits[group], xs[column + 1] - xs[column], ys[row + 1] - ys[row])
        picture[ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = panel
    return picture


def panel_grid(n_panels: int) -> tuple[int, int]:
    """Rows and columns of the small multiples: as many rows as columns or one more, since time wants width."""
    columns = math.floor(math.sqrt(n_panels))
    return math.ceil(n_panels / columns), columns


def _panel(case: np.ndarray, limits: np.ndarray, width: int, height: int) -> np.ndarray:
    n_timepoints = case.shape[1]
    time = np.linspace(0, 1, n_timepoints) if n_timepoints > 1 else np.array([0.5])
    picture = np.full((height, width, 3), 255, np.uint8)
    for share, planes in zip(heights(case, limits), _PLANES[len(case)], strict=True):
        paper = 255 - ink(to_pixels(time, share, width, height), width, height)
        for plane in planes:  # one at a time: twice as fast as numpy's repeat, which would take half of the drawing
            np.minimum(picture[:, :, plane], paper, out=picture[:, :, plane])
    return picture


def heights(case: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """`(n_channels, n_timepoints)` values between `limits` `(n_channels, 2)` as 0..1; a constant channel is 0.5."""
    low, high = limits[:, :1], limits[:, 1:]
    span = high - low
    share = np.where(span > 0, (case - low) / np.where(span > 0, span, 1.0), 0.5)
    return np.clip(share, 0.0, 1.0)


def to_pixels(time: np.ndarray, share: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixel coordinates `(n, 2)` of times and heights 0..1 inside the margins, origin at the lower left."""
    return np.stack([time, share], axis=1) * (1 - 2 * _MARGIN) * (width, height) + (_MARGIN * width, _MARGIN * height)


def ink(polyline: np.ndarray, width: int, height: int) -> np.ndarray:
    """Anti-aliased coverage of one polyline, (height, width) uint8."""
    # only when it is drawn: a quarter of a second to import
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    canvas = RendererAgg(width, height, _DPI)
    pen = canvas.new_gc()
    pen.set_linewidth(max(1.2, min(width, height) / 140))
    pen.set_foreground((0.0, 0.0, 0.0, 1.0), isRGBA=True)
    pen.set_joinstyle("round")
    pen.set_snap(False)
    path = Path(polyline)
    path.should_simplify = len(polyline) > width  # several points a pixel: merge those within a ninth of a pixel
    path.simplify_threshold = 1 / 9
    canvas.draw_path(pen, path, IdentityTransform(), None)
    return np.asarray(canvas.buffer_rgba())[:, :, 3]
