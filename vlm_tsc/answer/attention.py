"""Which attention reads answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def attention_with_masks(model: Any) -> Iterator[None]:
    """While answers are read, torch's own attention in the place of FlashAttention, whose kernels take no mask.

    The nodes of the tree of answers see the prompt and their own ancestors; without the mask each would see all before.
    """
    config = model.config
    before = config._attn_implementation
    if not str(before).startswith("flash"):
        yield
        return
    config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        config._attn_implementation = before
