"""Which patches are hidden, and how some of a case's patches are taken out."""

from __future__ import annotations

import numpy as np
import torch


def draw_masks(present: torch.Tensor, ratio: float, random: np.random.Generator) -> torch.Tensor:
    """`(n, n_patches)` bool: of each case's patches the share `ratio`, at least one hidden and one visible.

    A case of a single patch has none hidden: nothing would be left to infer it from.
    """
    counts = present.sum(1).numpy()
    n_masked = np.minimum(np.maximum(np.round(ratio * counts), 1), counts - 1)
    order = np.where(present.numpy(), random.random(present.shape), 2.0).argsort(axis=1)
    ranks = order.argsort(axis=1)
    return torch.from_numpy(ranks < n_masked[:, None])


def places(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where `chosen` `(n, n_patches)` bool is true.

    Returns
    -------
    positions : Tensor (n, most) of int
        Patches in their order; those of a case with fewer are followed by others.
    there : Tensor (n, most) bool
        Which of them are meant.
    """
    most = max(1, int(chosen.sum(1).max()))
    positions = chosen.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return positions, chosen.gather(1, positions)


def at(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Rows of `values` `(n, n_patches, …)` at `positions` `(n, k)`."""
    return values[torch.arange(len(values), device=values.device)[:, None], positions]


def mean_over(errors: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Mean of `errors` `(n, k)` where `there`; 0 where nothing is."""
    return torch.where(there, errors, 0.0).sum() / there.sum().clamp(min=1)
