"""Other ways to compute the same or nearly the same, one change at a time; the product has none of these switches."""

from __future__ import annotations

import functools
import os
import shutil
from typing import Any

BASE = "plot-llava-mini"
UNEVEN = {"dataset": "PickupGestureWiimoteZ", "data_repr": "BASELINE"}  # 29 to 361 points, as text; aeon carries it


def every_logit(model: Any, processor: Any) -> None:
    """Logits of every token instead of those that are asked for, as a model computes its own loss."""
    inner = model.forward

    @functools.wraps(inner)
    def forward(*args: Any, logits_to_keep: int = 0, **kwargs: Any) -> Any:
        outputs = inner(*args, **kwargs)
        outputs.logits = outputs.logits.float()[:, -logits_to_keep:]
        return outputs

    model.forward = forward


def fused_attention(model: Any, processor: Any) -> None:
    """Torch's fused attention (SDPA) instead of the one with which a CPU trains."""
    model.set_attn_implementation("sdpa")


def eager_attention(model: Any, processor: Any) -> None:
    """Transformers' eager attention instead."""
    model.set_attn_implementation("eager")


def cached_tower(model: Any, processor: Any) -> None:
    """The frozen tower's features of a picture that was seen before, from memory; the projector is trained and is not
    left out."""
    import torch

    llava, inner, selected, kept = model.model, model.model.get_image_features, [], {}
    llava.multi_modal_projector.register_forward_pre_hook(lambda _, inputs: selected.append(inputs[0].detach()))

    def get_image_features(pixel_values: Any, **kwargs: Any) -> Any:
        keys = [picture.cpu().numpy().tobytes() for picture in pixel_values]
        new = [i for i, key in enumerate(keys) if key not in kept]
        if new:
            selected.clear()
            inner(pixel_values=pixel_values[new], **kwargs)
            kept.update(zip((keys[i] for i in new), selected[0], strict=True))
        selected.clear()
        features = llava.multi_modal_projector(torch.stack([kept[key] for key in keys]))
        return _Features(pooler_output=list(features))

    llava.get_image_features = get_image_features


class _Features:
    """What LLaVA reads of the tower's output."""

    def __init__(self, pooler_output: list[Any]):
        self.pooler_output = pooler_output


def merged_tokens(model: Any, processor: Any) -> None:
    """A quarter of the image tokens: the mean of each square of four."""
    _quarter(model, processor, lambda squares: squares.mean((2, 4)))


def dropped_tokens(model: Any, processor: Any) -> None:
    """A quarter of the image tokens: of each square of four the first."""
    _quarter(model, processor, lambda squares: squares[:, :, 0, :, 0])


def _quarter(model: Any, processor: Any, reduce: Any) -> None:
    def fewer(_: Any, inputs: Any) -> tuple[Any]:
        side = round(inputs[0].shape[1] ** 0.5)
        squares = inputs[0].unflatten(1, (side // 2, 2, side // 2, 2))
        return (reduce(squares).flatten(1, 2),)

    model.model.multi_modal_projector.register_forward_pre_hook(fewer)
    processor.patch_size *= 2


def compiled(model: Any, processor: Any) -> None:
    """`torch.compile` on the decoder as a whole and on the tower's layers.

    Of the decoder's layers each would be compiled anew: every one reads its own part of the cache.
    """
    model.model.language_model.compile()
    for module in model.model.vision_tower.modules():
        if type(module).__name__.endswith("EncoderLayer"):
            module.compile()


def why_not_compiled() -> str | None:
    """What keeps `torch.compile` from working here; None where nothing does."""
    import torch

    compiler = os.environ.get("CXX", "g++")
    if torch.cuda.is_available() or shutil.which(compiler):
        return None
    return f"not measured: torch.compile needs a C++ compiler on a CPU, and {compiler} is not here"


def attempted(measure: Any) -> Any:
    """What `measure` returns, or as a text why a compiled model did not run: the other ways are then not lost."""
    try:
        return measure()
    except RuntimeError as error:  # as all of torch's compilers raise
        return f"did not run: {type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
