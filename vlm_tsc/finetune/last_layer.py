"""The decoder's last layer, computed where it is read.

The loss reads the tokens of the answer, a few of some hundred. Those before them are read by the last layer's attention
as keys and values; what the layer itself makes of them nobody reads. So its queries, the projection of its attention
and its MLP are computed for the last tokens alone, and the loss is the same. Of the bundled base's four layers that is
most of one, 7 % of the time of a training on a CPU; of the thirty-two of a large base 2 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vlm_tsc.finetune.parts import base_of

_PARTS = ("self_attn.q_proj", "self_attn.o_proj", "mlp")  # of a layer, as transformers names them in every family here


class LastLayer:
    """How many of the last tokens are read of a layer whose `parts` compute no others while they are trained."""

    def __init__(self, parts: list[nn.Module]):
        self.width: int | None = None  # still known when a checkpointed layer is computed again
        self.parts = parts

    def hold(self) -> None:
        """From now on the parts compute `width` tokens."""
        for part in self.parts:
            part.forward = self._narrow(part, part.forward)

    def release(self) -> None:
        """The parts are what they were."""
        for part in self.parts:
            del part.forward  # the instance's, in front of its class's

    def _narrow(self, part: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def narrow(tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not part.training or self.width is None or tokens.shape[1] <= self.width:
                return forward(tokens, *args, **kwargs)
            made = forward(tokens[:, -self.width :], *args, **kwargs)
            return F.pad(made, (0, 0, tokens.shape[1] - self.width, 0))

        return narrow


@contextmanager
def last_layer_of(model: Any) -> Iterator[LastLayer]:
    """Within, the last layer of `model`'s decoder computes what is read; all of it where it has other parts."""
    layers = getattr(base_of(model).get_decoder(), "layers", None)
    last = layers[-1] if layers else nn.Module()
    modules = dict(last.named_modules())
    found = [modules[name] for name in _PARTS if name in modules]
    kept = LastLayer(found if len(found) == len(_PARTS) else [])
    kept.hold()
    try:
        yield kept
    finally:
        kept.release()
