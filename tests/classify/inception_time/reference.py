"""One member of InceptionTime in torch's own layers, written from the paper; the tests compare with it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ReferenceBlock(nn.Module):
    def __init__(self, n_inputs, filters):
        super().__init__()
        self.bottleneck = nn.Conv1d(n_inputs, 32, 1, bias=False) if n_inputs > 1 else nn.Identity()
        n = 32 if n_inputs > 1 else 1
        self.convolutions = nn.ModuleList(nn.Conv1d(n, filters, k, bias=False) for k in (40, 20, 10))
        self.pooled = nn.Conv1d(n_inputs, filters, 1, bias=False)
        self.norm = nn.BatchNorm1d(4 * filters, eps=0.001, momentum=0.01)

    def forward(self, x):
        z = self.bottleneck(x)
        # k - 1 zeros in all, the odd one at the end
        parts = [c(F.pad(z, ((c.kernel_size[0] - 1) // 2, c.kernel_size[0] // 2))) for c in self.convolutions]
        parts.append(self.pooled(F.max_pool1d(x, 3, stride=1, padding=1)))
        return self.norm(torch.cat(parts, 1)).relu()


class ReferenceShortcut(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.convolution = nn.Conv1d(n_inputs, n_outputs, 1, bias=False)
        self.norm = nn.BatchNorm1d(n_outputs, eps=0.001, momentum=0.01)

    def forward(self, x, y):
        return (self.norm(self.convolution(x)) + y).relu()


class Reference(nn.Module):
    def __init__(self, n_channels, n_classes, filters=32, depth=6):
        super().__init__()
        wide = 4 * filters
        self.blocks = nn.ModuleList(ReferenceBlock(n_channels if i == 0 else wide, filters) for i in range(depth))
        self.shortcuts = nn.ModuleList(
            ReferenceShortcut(n_channels if i == 0 else wide, wide) for i in range(depth // 3)
        )
        self.head = nn.Linear(wide, n_classes)

    def forward(self, x):
        earlier = x
        for i, block in enumerate(self.blocks, start=1):
            x = block(x)
            if i % 3 == 0:
                x = earlier = self.shortcuts[i // 3 - 1](earlier, x)
        return self.head(x.mean(2))


def reference_of(network, member):
    """A Reference with the weights that `network` has for the member in that position."""
    n_channels = network.blocks[0].pooled.shape[2]
    filters = network.blocks[0].pooled.shape[1]
    made = Reference(n_channels, network.head.shape[1], filters, len(network.blocks)).to(network.head.dtype)
    pairs = [(made.head.weight, network.head), (made.head.bias, network.bias)]
    for theirs, ours in zip(made.blocks, network.blocks, strict=True):
        pairs += [(c.weight, k) for c, k in zip(theirs.convolutions, ours.kernels, strict=True)]
        pairs += [(theirs.pooled.weight, ours.pooled)]
        pairs += [(theirs.bottleneck.weight, ours.bottleneck)] if ours.bottleneck is not None else []
    pairs += [(t.convolution.weight, o.weight) for t, o in zip(made.shortcuts, network.shortcuts, strict=True)]
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.copy_(ours[member])
    return made


def trained_pairs(reference, network, member):
    """(theirs, ours) for every weight and running statistic, to compare after training."""
    yield reference.head.weight, network.head[member]
    yield reference.head.bias, network.bias[member]
    for theirs, ours in zip(reference.blocks, network.blocks, strict=True):
        yield from ((c.weight, k[member]) for c, k in zip(theirs.convolutions, ours.kernels, strict=True))
        yield theirs.pooled.weight, ours.pooled[member]
    for theirs, ours in zip(
        [*reference.blocks, *reference.shortcuts], [*network.blocks, *network.shortcuts], strict=True
    ):
        yield theirs.norm.weight, ours.norm.weight[member]
        yield theirs.norm.bias, ours.norm.bias[member]
        yield theirs.norm.running_mean, ours.norm.mean[member]
        yield theirs.norm.running_var, ours.norm.variance[member]


def without_start(reference, n_steps):
    """The reference after `n_steps`, its running statistics as if they had not begun at 0 and 1."""
    left = 0.99**n_steps
    for layer in [*reference.blocks, *reference.shortcuts]:
        layer.norm.running_mean /= 1 - left
        layer.norm.running_var.sub_(left).div_(1 - left)
    return reference
