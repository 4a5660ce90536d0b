"""The `gasf` picture: the Gramian angular summation field (Wang & Oates 2015, arXiv:1506.00327)."""

from __future__ import annotations

import numpy as np

from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.panels import draw_levels, to_length, viridis


def draw_gasf(
    case: np.ndarray,
    size: tuple[int, int] = (336, 336),
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Draw one case as cos(phi_i + phi_j), with phi = arccos of the values; a panel per channel, as in `stack`.

    Values are scaled to -1..1 by `limits` or the case's own, then brought to at most the panel's pixels by piecewise
    aggregation. Time runs from the upper left corner to the lower right: its diagonal, 2 x^2 - 1, holds the
    size of the values. Dark violet is -1, yellow 1.

    Parameters and result are those of `representation.line.draw`.
    """
    return draw_levels(case, size, limits, _field, viridis())


def _field(share: np.ndarray, width: int, height: int) -> np.ndarray:
    """cos(phi_i + phi_j) = x_i x_j - sqrt(1 - x_i^2) sqrt(1 - x_j^2), moved from -1..1 to 0..1."""
    x, y = (np.clip(2 * to_length(share, min(len(share), n)) - 1, -1.0, 1.0) for n in (width, height))
    field = np.outer(y, x) - np.outer(np.sqrt(1 - y**2), np.sqrt(1 - x**2))
    return np.clip((field + 1) / 2, 0.0, 1.0)
