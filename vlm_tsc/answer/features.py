"""What a model makes of a prompt before it answers: features for a linear probe."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from vlm_tsc.answer.batch import encode_prompts, on_device
from vlm_tsc.conversation.presentation import Shown


@torch.no_grad()
def features(
    model: Any,
    processor: Any,
    cases: Sequence[Shown],
    part: Literal["vision", "decoder"],
    *,
    batch_size: int,
    projector: Sequence[str] = (),
) -> np.ndarray:
    """Features `(n_cases, n_features)` float32 of a frozen model; the parts are those of `classify.probe`.

    Parameters
    ----------
    projector : sequence of str
        Full names of the projector's linear layers, first to last; wanted for "vision" alone.
    """
    if part == "vision":
        batches = vision_token_batches(model, processor, cases, batch_size=batch_size, projector=projector)
        made = (pooled(tokens.flatten(0, 1)).reshape(len(tokens), -1) for tokens in batches)
    else:
        prompts = _prompts(model, processor, cases, batch_size)
        made = (model.model(**inputs, use_cache=False).last_hidden_state[:, -1] for _, inputs in prompts)
    return np.concatenate([one.float().cpu().numpy() for one in made])


@torch.no_grad()
def vision_token_batches(
    model: Any, processor: Any, cases: Sequence[Shown], *, batch_size: int, projector: Sequence[str]
) -> Iterator[torch.Tensor]:
    """`vision_tokens` of a batch after the other, `(n_cases, pictures of a case and their tiles, n_tokens, width)`."""
    for shown, inputs in _prompts(model, processor, cases, batch_size):
        made = vision_tokens(model, inputs, projector, sum(len(one.pictures) for one in shown))
        yield made.unflatten(0, (len(shown), -1))


def _prompts(
    model: Any, processor: Any, cases: Sequence[Shown], batch_size: int
) -> Iterator[tuple[list[Shown], dict[str, Any]]]:
    """Batches of cases and their prompts as tensors, for a model that is not trained meanwhile."""
    model.eval()
    for start in range(0, len(cases), batch_size):
        shown = [cases[i] for i in range(start, min(start + batch_size, len(cases)))]
        yield shown, on_device(model.device, encode_prompts(processor, shown))


def vision_tokens(model: Any, inputs: Mapping[str, Any], projector: Sequence[str], n_pictures: int) -> torch.Tensor:
    """What the projector reads of a batch, `(n_pictures or their tiles, n_tokens, width)`; the decoder is not run."""
    towards = model.model.get_image_features
    wanted = {name: inputs[name] for name in inspect.signature(towards).parameters if name in inputs}
    with _watched(model, projector) as seen:
        tokens = towards(**wanted).pooler_output
    return _tower(seen, n_pictures, torch.cat([*tokens]))


@contextmanager
def _watched(model: Any, projector: Sequence[str]) -> Iterator[dict[str, list[torch.Tensor]]]:
    """What the projector's first layer reads ("read") and its last one gives ("given"), call by call."""
    seen: dict[str, list[torch.Tensor]] = {"read": [], "given": []}
    first, last = (model.get_submodule(projector[i]) for i in (0, -1))
    handles = [
        first.register_forward_pre_hook(lambda _, arguments: seen["read"].append(arguments[0])),
        last.register_forward_hook(lambda _, arguments, given: seen["given"].append(given)),
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _tower(seen: Mapping[str, list[torch.Tensor]], n_pictures: int, tokens: torch.Tensor) -> torch.Tensor:
    """What the projector reads: `(n_pictures or their tiles, n_tokens, width)`, in reading order.

    A tower that takes all pictures as one sequence may have its patches in an order of its own (by windows), which is
    undone behind the projector. Where each stands is then told by which of the `tokens` that enter the decoder its
    projection is; where that is not found, the tower's own order stays.
    """
    read, given = (torch.cat(seen[name]) for name in ("read", "given"))
    if read.dim() == 3:
        return read
    read, given, tokens = (one.view(n_pictures, -1, one.shape[-1]) for one in (read, given, tokens))
    if given.shape != tokens.shape:
        return read
    same = (tokens[0][:, None] == given[0][None]).all(-1)  # pictures of one size are ordered alike
    return read[:, same.float().argmax(1)] if bool(same.any(1).all()) else read


def pooled(pictures: torch.Tensor) -> torch.Tensor:
    """The "vision" features of tokens `(n_pictures, n_tokens, width)`, `(n_pictures, n_features)`.

    The mean token, and where the tokens form a square the means of columns and of rows.
    """
    side = math.isqrt(pictures.shape[1])
    parts = [pictures.mean(1)]
    if side * side == pictures.shape[1]:
        square = pictures.unflatten(1, (side, side))
        parts += [square.mean(1).flatten(1), square.mean(2).flatten(1)]
    return torch.cat(parts, dim=1)
