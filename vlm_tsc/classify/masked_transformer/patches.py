"""Series as patches: resampled by one factor per set, cut, padded to the most patches of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vlm_tsc.classify.scaling import Scaling


def resampled(case: np.ndarray, n_points: int) -> np.ndarray:
    """`(n_channels, n_points)`: straight lines between values where there are to be more, means where fewer."""
    n = case.shape[1]
    if n_points == n:
        return case
    if n_points > n:
        old, new = np.arange(n), np.linspace(0, n - 1, n_points)
        return np.stack([np.interp(new, old, row) for row in case])
    sums = np.concatenate([np.zeros((len(case), 1)), case.cumsum(axis=1)], axis=1)  # of the first 0, 1, 2 … values
    edges = np.linspace(0, n, n_points + 1)
    at_edges = np.stack([np.interp(edges, np.arange(n + 1), row) for row in sums])
    return np.diff(at_edges, axis=1) / np.diff(edges)


@dataclass(frozen=True)
class Grid:
    """How the cases of one set become points.

    Attributes
    ----------
    longest : int
        n_timepoints of the longest training case, which fills the grid. A longer one is squeezed into it: there are no
        further positions to give it.
    length, patch : int
        See `Shape`. Every case becomes whole patches, so that none is half padding.
    """

    longest: int
    length: int
    patch: int

    def __call__(self, case: np.ndarray) -> np.ndarray:
        """`(n_channels, n_timepoints)` → `(n_channels, n_points)`, n_points a multiple of `patch`, at most `length`."""
        share = min(1.0, case.shape[1] / self.longest)
        return resampled(case, max(1, round(share * self.length / self.patch)) * self.patch)


def patches_of(points: Sequence[np.ndarray], patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cases on the grid as one tensor.

    Returns
    -------
    values : Tensor (n_cases, n_channels, n_patches, patch) float32
        Zeros after the end of a shorter case.
    present : Tensor (n_cases, n_patches) bool
        Which patches hold values.
    """
    counts = np.array([case.shape[1] // patch for case in points])
    values = np.zeros((len(points), len(points[0]), counts.max() * patch), dtype=np.float32)
    for row, case in zip(values, points, strict=True):
        row[:, : case.shape[1]] = case
    present = np.arange(counts.max()) < counts[:, None]
    return torch.from_numpy(values).unflatten(2, (-1, patch)), torch.from_numpy(present)


@dataclass(frozen=True)
class PatchedCases:
    """Scaled cases on a device: `values` and `present` as `patches_of` gives them, `codes` (n_cases,) their classes."""

    values: torch.Tensor
    present: torch.Tensor
    codes: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        cases: Sequence[np.ndarray],
        scaling: Scaling,
        grid: Grid,
        device: torch.device,
        codes: np.ndarray | None = None,
    ) -> PatchedCases:
        """From cases (n_channels, n_timepoints) as they were read."""
        values, present = patches_of([grid(scaling(case)) for case in cases], grid.patch)
        known = None if codes is None else torch.as_tensor(codes, device=device)
        return cls(values.to(device), present.to(device), known)

    def __len__(self) -> int:
        return len(self.values)

    def select(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and presence of the cases `indices`, as many patches as the longest of them has."""
        present = self.present[indices]
        most = int(present.sum(1).max())
        return self.values[indices][:, :, :most], present[:, :most]
