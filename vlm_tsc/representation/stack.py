"""The `stack` picture: segments of the series as rows of a grey image, as the project's design defines it.

A tower that reads square patches sees a long series at several times the resolution of a line plot, and what comes back
after a row's length stands in a column.
"""

from __future__ import annotations

import math

import numpy as np

from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.panels import draw_levels, grey, to_length


def draw_stack(
    case: np.ndarray,
    size: tuple[int, int] = (336, 336),
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Draw one case as rows of grey, a panel per channel whatever `channels` says.

    A series of n timepoints is cut into ceil(sqrt(n)) segments of equal duration, or as many as there are rows of
    pixels. Time runs to the right, then down, as text is read; low values are black, high ones white.

    Parameters and result are those of `representation.line.draw`.
    """
    return draw_levels(case, size, limits, _rows, grey())


def _rows(share: np.ndarray, width: int, height: int) -> np.ndarray:
    n_rows = min(math.ceil(math.sqrt(len(share))), height)
    return to_length(share, n_rows * width).reshape(n_rows, width)
