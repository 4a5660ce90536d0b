"""How well a computation uses its device: operations of a step, and the device's own rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def matmul_rate(device: torch.device) -> float:
    """Floating-point operations a second of a product of two large bfloat16 matrices: the best of some tries."""
    n, repeats = (8192, 10) if device.type == "cuda" else (1024, 2)
    own = torch.Generator(device).manual_seed(0)  # what is computed beside this draws what it would have drawn
    a, b = (torch.randn(n, n, dtype=torch.bfloat16, device=device, generator=own) for _ in range(2))
    best = 0.0
    for _ in range(4):  # the first chooses a kernel
        started = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, repeats * 2 * n**3 / (time.perf_counter() - started))
    return best


@contextmanager
def counted() -> Iterator[Any]:
    """Count the operations of the matrix products, convolutions and attentions inside, forward and backward.

    Yields an object whose `get_total_flops()` is their number, once the block has ended.
    """
    with FlopCounterMode(display=False) as counter:
        yield counter
