"""The `recurrence` picture: how far the series is from every earlier and later state of itself.

A recurrence plot (Eckmann, Kamphorst & Ruelle 1987) without its threshold, which no data set would share with another.
"""

from __future__ import annotations

import numpy as np

from vlm_tsc.representation.line import ChannelLayout
from vlm_tsc.representation.panels import draw_levels, grey, to_length

_SPACING = 28  # the delay is a 28th of the series: enough to tell rising from falling, too little to blur a motif


def draw_recurrence(
    case: np.ndarray,
    size: tuple[int, int] = (336, 336),
    limits: np.ndarray | None = None,
    channels: ChannelLayout = "auto",
) -> np.ndarray:
    """Draw one case as distances between its states; a panel per channel, as in `stack`.

    The state at time t is the pair of the values at t and a 28th of the length later; in series of 14 timepoints or
    fewer it is the value alone. Black is distance 0 and white the largest that `limits`, or the case's own, allow.
    Time runs from the upper left corner to the lower right, so the black diagonal falls, as in `gasf`.

    Parameters and result are those of `representation.line.draw`.
    """
    return draw_levels(case, size, limits, _distances, grey())


def _distances(share: np.ndarray, width: int, height: int) -> np.ndarray:
    """Distances as share of the largest possible one, (n_states, n_states)."""
    values = to_length(share, min(len(share), width, height))
    delay = round(len(values) / _SPACING)
    n_states = len(values) - delay
    squares = (values[:, None] - values) ** 2
    # the squared distance of two pairs is the sum of those of their halves
    return np.sqrt((squares[:n_states, :n_states] + squares[delay:, delay:]) / 2)
