"""What a model makes of a prompt before it answers: features for a linear probe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from vlm_tsc.answer.batch import encode_prompts, on_device
from vlm_tsc.conversation.presentation import Shown


@torch.no_grad()
def features(
    model: Any, processor: Any, cases: Sequence[Shown], part: Literal["vision", "decoder"], *, batch_size: int
) -> np.ndarray:
    """Features `(n_cases, n_features)` float32 of a frozen model; the parts are those of `classify.probe`."""
    model.eval()
    found = []
    for start in range(0, len(cases), batch_size):
        shown = cases[start : start + batch_size]
        inputs = on_device(model.device, encode_prompts(processor, shown))
        states = model.model(**inputs, use_cache=False, output_hidden_states=True).hidden_states
        if part == "decoder":
            made = states[-1][:, -1]
        else:  # what enters the decoder in the places of the pictures, as it does in every family
            tokens = states[0][inputs["input_ids"] == model.config.image_token_id]
            made = _pooled(tokens.view(len(shown) * len(shown[0].pictures), -1, tokens.shape[-1]))
        found.append(made.reshape(len(shown), -1).float().cpu().numpy())
    return np.concatenate(found)


def _pooled(pictures: torch.Tensor) -> torch.Tensor:
    """`(n_pictures, n_tokens, width)` -> mean token, and where they form a square the mean of each column."""
    side = math.isqrt(pictures.shape[1])
    parts = [pictures.mean(1)]
    if side * side == pictures.shape[1]:
        parts.append(pictures.unflatten(1, (side, side)).mean(1).flatten(1))
    return torch.cat(parts, dim=1)
