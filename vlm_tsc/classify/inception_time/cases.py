"""Series as the network takes them: scaled, padded, on the device; and the order in which members see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vlm_tsc.classify.scaling import Scaling


@dataclass(frozen=True)
class Cases:
    """Scaled cases on a device.

    Attributes
    ----------
    values : Tensor (n_cases, n_channels, longest) float32
        Zeros after the end of a shorter case: padded and masked rather than stretched, because stretching changes
        frequencies, and how long a case is may belong to its class. A padded case is answered as it is alone.
    lengths : Tensor (n_cases,) of int, or None when all are equal
    codes : Tensor (n_cases,) of int, or None
        Class of each case.
    """

    values: torch.Tensor
    lengths: torch.Tensor | None
    codes: torch.Tensor | None = None

    @classmethod
    def of(
        cls, cases: Sequence[np.ndarray], scaling: Scaling, device: torch.device, codes: np.ndarray | None = None
    ) -> Cases:
        """From cases (n_channels, n_timepoints) as they were read."""
        lengths = [case.shape[1] for case in cases]
        values = np.zeros((len(cases), len(cases[0]), max(lengths)), dtype=np.float32)
        for row, case in zip(values, cases, strict=True):
            row[:, : case.shape[1]] = scaling(case)
        equal = len(set(lengths)) == 1
        return cls(
            torch.from_numpy(values).to(device),
            None if equal else torch.tensor(lengths, device=device),
            None if codes is None else torch.as_tensor(codes, device=device),
        )

    def __len__(self) -> int:
        return len(self.values)

    def select(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Values (n, n_members, n_channels, longest of these) and lengths of the cases `indices` (n, n_members)."""
        values = self.values[indices]
        if self.lengths is None:
            return values, None
        lengths = self.lengths[indices]
        longest = int(lengths.max())
        values = values[..., :longest]
        return values, None if bool((lengths == longest).all()) else lengths


def epoch_batches(
    n_cases: int,
    batch_size: int,
    members: Sequence[int],
    random_state: int,
    epoch: int,
    device: torch.device | str = "cpu",
) -> Iterator[torch.Tensor]:
    """Indices (at most batch_size, n_members) of one epoch, each member's in an order of its own.

    A pure function of (random_state, member, epoch): a resumed run, or a member trained alone, sees the same.
    """
    # three numbers: the weights are drawn from two, so the streams differ
    orders = [np.random.default_rng([random_state, member, epoch]).permutation(n_cases) for member in members]
    order = torch.from_numpy(np.stack(orders, axis=1))
    yield from order.to(device).split(batch_size)
