"""The background that all cases of an episode share: a curve as a sum of movable parts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vlm_tsc.pretrain.curves import Rng, smooth

MARGIN = 0.3  # parts are tabulated on [-MARGIN, 1 + MARGIN]: a shifted or warped part stays on its table


@dataclass
class Template:
    """A curve as a sum of parts, so that a rule can move, stretch or scale one of them.

    Attributes
    ----------
    parts : np.ndarray
        `(n_parts, n_grid)` values on the family's time grid.
    centres : np.ndarray
        `(n_parts,)` time about which a part is stretched or reversed; the visible window is 0..1.
    groups : list of list of int
        Parts that a rule may edit together (a beat, all T waves, one peak).
    """

    parts: np.ndarray
    centres: np.ndarray
    groups: list[list[int]] = field(default_factory=list)


def grid(n_timepoints: int) -> np.ndarray:
    """Time grid of the tables: about three points per time point of the series, at least 320."""
    return np.linspace(-MARGIN, 1 + MARGIN, int(np.clip(4 * n_timepoints, 320, 6000)))


def with_base(rng: Rng, t: np.ndarray, parts: np.ndarray, centres: np.ndarray, most: float = 0.5) -> Template:
    base = rng.uniform(0, most) * parts.std() * 2 * smooth(rng, (), t, int(rng.integers(2, 8)))
    return Template(np.concatenate([parts, base[None]]), np.r_[centres, 0.5])
