"""The template families by name, and a template drawn from one of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlm_tsc.pretrain.curves import Rng
from vlm_tsc.pretrain.motifs import bumps, daily, heartbeats, motion, outline, spectrum, spikes, steps, transient
from vlm_tsc.pretrain.template import Template, grid
from vlm_tsc.pretrain.waves import chirp, fourier, kernels, pen, regimes, seasonal, trend, walk

FAMILIES: dict[str, Callable[[Rng, np.ndarray, float], Template]] = {
    "fourier": fourier, "kernels": kernels, "trend": trend, "seasonal": seasonal, "bumps": bumps, "steps": steps,
    "chirp": chirp, "spikes": spikes, "heartbeats": heartbeats, "outline": outline, "spectrum": spectrum,
    "regimes": regimes, "motion": motion, "daily": daily, "pen": pen, "walk": walk, "transient": transient,
}  # fmt: skip


def draw_template(rng: Rng, family: str, n_timepoints: int) -> tuple[Template, np.ndarray]:
    """A template of `family` scaled to unit spread in the visible window, and its time grid."""
    t = grid(n_timepoints)
    template = FAMILIES[family](rng, t, 1.0 / n_timepoints)
    inside = slice(int(np.searchsorted(t, 0)), int(np.searchsorted(t, 1)))
    seen = template.parts[:, inside]
    template.parts = template.parts / (seen.sum(0).std() + 1e-3)
    # A rule that edits an invisible part would make classes alike: only parts with a share of the picture are offered.
    spread = seen.std(1)
    singles = [[int(p)] for p in np.flatnonzero(spread > 0.12 * spread.max())]
    template.groups = [g for g in template.groups if spread[g].max() > 0.05 * spread.max()] or singles
    return template, t
