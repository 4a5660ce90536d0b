"""The pictures a case can be drawn as, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from vlm_tsc.representation.differences import draw_differences
from vlm_tsc.representation.gasf import draw_gasf
from vlm_tsc.representation.line import ChannelLayout, draw
from vlm_tsc.representation.recurrence import draw_recurrence
from vlm_tsc.representation.spectrogram import draw_spectrogram
from vlm_tsc.representation.stack import draw_stack

Style = Literal["line", "differences", "stack", "gasf", "recurrence", "spectrogram"]
STYLES: tuple[Style, ...] = get_args(Style)
_DRAW: dict[Style, Callable[..., np.ndarray]] = {
    "line": draw,
    "differences": draw_differences,
    "stack": draw_stack,
    "gasf": draw_gasf,
    "recurrence": draw_recurrence,
    "spectrogram": draw_spectrogram,
}


def draw_as(
    style: Style,
    case: np.ndarray,
    size: tuple[int, int],
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Picture `(height, width, 3)` uint8 of a `(n_channels, n_timepoints)` case; see the function of each style."""
    return _DRAW[style](case, size, limits, channels)
