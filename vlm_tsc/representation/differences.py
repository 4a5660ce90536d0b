"""The `differences` picture: values, slope and bend of a series as three curves, each in a colour plane of its own.

What tells classes apart is often a small change of slope that a line plot of a hundred pixels hardly shows. Drawn at
their own scale, first and second differences magnify it, and cost the model no further token.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vlm_tsc.representation.limits import case_limits
from vlm_tsc.representation.line import ChannelLayout, draw, heights, ink, to_pixels

_SPACING = 56  # differences span a 56th of the series, two pixels of a small picture: shorter ones would show noise
_CUT = 4.0  # times the root mean square: one jump must not flatten the rest


def draw_differences(
    case: np.ndarray,
    size: tuple[int, int] = (336, 336),
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Draw one case of a single channel as three curves on white; several channels as the `line` picture does.

    Values are cyan, between `limits` or the case's own. First differences are magenta and second differences yellow;
    zero is at mid-height, and each fills the height at the case's own scale, cut at four times its root mean square.
    Crossing curves hide nothing: each darkens only its own plane of red, green and blue.

    Parameters and result are those of `representation.line.draw`.
    """
    if len(case) > 1:
        return draw(case, size, limits, channels)
    width, height = size
    picture = np.full((height, width, 3), 255, np.uint8)
    for plane, (time, share) in enumerate(_curves(case, case_limits(case) if limits is None else limits)):
        picture[:, :, plane] -= ink(to_pixels(time, share, width, height), width, height)
    return picture


def _curves(case: np.ndarray, limits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Times 0..1 and heights 0..1 of values, first and second differences; the latter while there are any."""
    n_timepoints = case.shape[1]
    last = max(1, n_timepoints - 1)
    yield (np.arange(n_timepoints) / last if n_timepoints > 1 else np.array([0.5])), heights(case, limits)[0]
    lag = max(1, round(n_timepoints / _SPACING))
    values = case[0]
    for order in (1, 2):
        if len(values) <= lag:
            return
        values = values[lag:] - values[:-lag]
        yield (np.arange(len(values)) + order * lag / 2) / last, 0.5 + 0.5 * _scaled(values)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Values as -1..1 with zero kept at 0."""
    extent = min(np.abs(values).max(), _CUT * np.sqrt(np.mean(values**2)))
    return np.clip(values / extent, -1.0, 1.0) if extent > 0 else np.zeros_like(values)
