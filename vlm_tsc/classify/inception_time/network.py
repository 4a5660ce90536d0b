"""The network of InceptionTime, for all members of the ensemble at once.

Every weight has the member as its first dimension; inside, a batch is (n_cases, n_timepoints, n_members, n_channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vlm_tsc.classify.inception_time.convolution import as_picture, as_series, convolve, grouped

KERNELS = (40, 20, 10)
BOTTLENECK = 32
# of Keras' BatchNormalization, which the authors use; torch counts the momentum from the other end
NORM_MOMENTUM, NORM_EPSILON = 0.01, 1e-3

Mask = torch.Tensor | None  # (n_cases, n_timepoints, n_members, 1), 1 at a value and 0 at padding; None: no padding


class InceptionTime(nn.Module):
    """Blocks, residual connections after every third, average over time, linear layer.

    Parameters
    ----------
    n_channels, n_classes : int
    filters : int
        Outputs of each convolution; a block gives four times as many channels.
    depth : int
        Blocks.
    members : sequence of int
        Number of each member, which with `random_state` decides its initial weights, whoever is trained beside it.
    random_state : int
    """

    def __init__(
        self, n_channels: int, n_classes: int, filters: int, depth: int, members: Sequence[int], random_state: int = 0
    ):
        super().__init__()
        self.members = tuple(members)
        n = len(self.members)
        widths = [n_channels, *[4 * filters] * depth]
        self.blocks = nn.ModuleList(Block(n, width, filters) for width in widths[:-1])
        # after blocks 3, 6, …, from the input of the first of the three
        self.shortcuts = nn.ModuleList(Shortcut(n, widths[i - 2], 4 * filters) for i in range(2, depth, 3))
        self.head = nn.Parameter(torch.zeros(n, n_classes, widths[-1]))
        self.bias = nn.Parameter(torch.zeros(n, n_classes))
        self._initialise(random_state)

    @torch.no_grad()
    def _initialise(self, random_state: int) -> None:
        """Glorot uniform for convolutions and head, drawn for each member alone."""
        for i, member in enumerate(self.members):
            random = np.random.default_rng([random_state, member])
            for parameter in self.parameters():
                if parameter.ndim > 2:
                    n_out, n_in, *length = parameter.shape[1:]
                    limit = math.sqrt(6 / ((n_in + n_out) * math.prod(length)))
                    drawn = random.uniform(-limit, limit, parameter.shape[1:])
                    parameter[i] = torch.from_numpy(drawn)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (n_cases, n_members, n_classes).

        Parameters
        ----------
        x : Tensor (n_cases, n_members, n_channels, n_timepoints)
            Each member's own cases. A shorter one has zeros after its end; how many changes nothing.
        lengths : Tensor (n_cases, n_members) of int, optional
            Length of every case; None when all fill `n_timepoints`.
        """
        mask = None
        if lengths is not None:
            times = torch.arange(x.shape[3], device=x.device)[:, None]
            mask = (times < lengths[:, None]).to(x.dtype)[..., None]
        x = x.permute(0, 3, 1, 2).contiguous()
        shortcuts, before = iter(self.shortcuts), x
        for i, block in enumerate(self.blocks):
            x = block(x, mask)
            if i % 3 == 2:
                x = before = next(shortcuts)(before, x, mask)
        means = x.mean(1) if lengths is None else x.sum(1) / lengths[..., None]
        return torch.einsum("bmc,mkc->bmk", means, self.head) + self.bias


class Block(nn.Module):
    """Bottleneck, three convolutions, and a convolution of the max-pooled input; normalised together, then ReLU."""

    def __init__(self, n_members: int, n_inputs: int, filters: int):
        super().__init__()
        n = BOTTLENECK if n_inputs > 1 else 1
        self.bottleneck = nn.Parameter(torch.zeros(n_members, BOTTLENECK, n_inputs, 1)) if n_inputs > 1 else None
        self.kernels = nn.ParameterList(torch.zeros(n_members, filters, n, length) for length in KERNELS)
        self.pooled = nn.Parameter(torch.zeros(n_members, filters, n_inputs, 1))
        self.norm = Norm(n_members, 4 * filters)

    def forward(self, x: torch.Tensor, mask: Mask) -> torch.Tensor:
        inputs = x if self.bottleneck is None else grouped(x, self.bottleneck)
        pooled = grouped(_max_of_three(x, mask), self.pooled)
        joined = torch.cat([convolve(inputs, list(self.kernels)), pooled], dim=3)
        return torch.relu(self.norm(joined, mask))


class Shortcut(nn.Module):
    """Adds an earlier input, brought to as many channels, to a block's output."""

    def __init__(self, n_members: int, n_inputs: int, n_outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_members, n_outputs, n_inputs, 1))
        self.norm = Norm(n_members, n_outputs)

    def forward(self, earlier: torch.Tensor, x: torch.Tensor, mask: Mask) -> torch.Tensor:
        return torch.relu(self.norm(grouped(earlier, self.weight), mask) + x)


class Norm(nn.Module):
    """Batch normalisation over the values that are there; zeros where there are none.

    The running mean and variance are Keras', which begin at 0 and 1; what is left of that beginning is taken out when
    they are used. After the thousands of steps of the paper nothing is; after the 100 of a short training on a small
    table it is a third, and networks that were right on every training case answered at random.
    """

    def __init__(self, n_members: int, n_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_members, n_channels))
        self.bias = nn.Parameter(torch.zeros(n_members, n_channels))
        self.register_buffer("mean", torch.zeros(n_members, n_channels))
        self.register_buffer("variance", torch.ones(n_members, n_channels))
        self.register_buffer("steps", torch.zeros(n_members, 1))
        self.mean: torch.Tensor
        self.variance: torch.Tensor
        self.steps: torch.Tensor

    def forward(self, x: torch.Tensor, mask: Mask) -> torch.Tensor:
        if self.training:
            self.steps += 1
        if mask is not None:
            return self._masked(x, mask)
        parts = (*self._running(), self.weight, self.bias)
        mean, variance, weight, bias = (part.reshape(-1) for part in parts)  # the buffers themselves, as one row
        normed = F.batch_norm(as_picture(x), mean, variance, weight, bias, self.training, NORM_MOMENTUM, NORM_EPSILON)
        return as_series(normed, len(self.mean))

    def _running(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance: in training as they are kept, to be moved on; else without their beginning."""
        if self.training:
            return self.mean, self.variance
        left = (1 - NORM_MOMENTUM) ** self.steps
        share = torch.where(self.steps > 0, 1 - left, 1)
        return self.mean / share, torch.where(self.steps > 0, (self.variance - left) / share, self.variance)

    def _masked(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mean, variance = self._running()
        if self.training:
            n = mask.sum((0, 1))
            mean = (x * mask).sum((0, 1)) / n
            variance = ((x - mean).square() * mask).sum((0, 1)) / n
            with torch.no_grad():
                self.mean.lerp_(mean, NORM_MOMENTUM)
                self.variance.lerp_(variance * n / (n - 1), NORM_MOMENTUM)
        scale = self.weight * (variance + NORM_EPSILON).rsqrt()
        return (x * scale + (self.bias - mean * scale)) * mask


def _max_of_three(x: torch.Tensor, mask: Mask) -> torch.Tensor:
    """The largest of each value and its neighbours in time; padding is no neighbour."""
    if mask is not None:
        x = x.masked_fill(mask == 0, -torch.inf)
    largest = as_series(F.max_pool2d(as_picture(x), (1, 3), stride=1, padding=(0, 1)), x.shape[2])
    return largest if mask is None else largest.masked_fill(mask == 0, 0.0)
