"""The pictures a case can be drawn as, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from vlm_tsc.representation.differences import draw_differences
from vlm_tsc.representation.line import ChannelLayout, draw

Style = Literal["line", "differences"]
STYLES: tuple[Style, ...] = get_args(Style)
_DRAW: dict[Style, Callable[..., np.ndarray]] = {"line": draw, "differences": draw_differences}


def draw_as(
    style: Style,
    case: np.ndarray,
    size: tuple[int, int],
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Picture `(height, width, 3)` uint8 of a `(n_channels, n_timepoints)` case; see `draw` and `draw_differences`."""
    return _DRAW[style](case, size, limits, channels)
