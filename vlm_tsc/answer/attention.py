"""Which attention a model is trained with, and which reads answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.utils.import_utils import is_flash_attn_2_available

from vlm_tsc.answer.model import device

ON_CPU = "vlm_tsc_cpu"  # the name under which transformers' models find `attention_on_cpu`
ADDING_MASKS = ("eager", ON_CPU)  # to the scores; the others take a mask of what may be seen


def use_attention_for_training(model: Any, precision: torch.dtype = torch.float32) -> None:
    """On a CPU `attention_on_cpu`: over so few tokens the fused attention's backward pass takes longer than all else.

    A model that transformers gives no fused attention may do something of its own between scores and softmax; it keeps
    its eager one. On a GPU torch's own stays (SDPA), or in bfloat16 FlashAttention's takes its place where that is
    installed; answers are read with torch's own even then.
    """
    if device().type == "cpu":
        model.set_attn_implementation(ON_CPU if model._supports_sdpa else "eager")
    elif precision == torch.bfloat16 and is_flash_attn_2_available():
        model.set_attn_implementation("flash_attention_2")


def attention_on_cpu(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' eager attention without its copies: in the precision of autocast from the scores to the output.

    Eager attention writes the scores of all pairs of tokens several times, scaled, masked and in float32; here they are
    scaled before they are pairs, and the softmax, which sums in float32 whatever it reads, reads bfloat16. Half of the
    time of attention in training, over a prompt of 330 tokens.

    Parameters
    ----------
    query : Tensor (n_cases, n_heads, n_queries, width)
    key, value : Tensors (n_cases, n_key_value_heads, n_tokens, width)
    attention_mask : Tensor (n_cases or 1, 1, n_queries, n_tokens), optional
        What is added to the scores, as `transformers.masking_utils.eager_mask` makes it.

    Returns
    -------
    Tensor (n_cases, n_queries, n_heads, width), and no weights.
    """
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    groups = query.shape[1] // key.shape[1]
    key, value = (one.to(dtype).repeat_interleave(groups, 1) if groups > 1 else one.to(dtype) for one in (key, value))
    query = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)).to(dtype)
    scores = query @ key.transpose(2, 3)
    if attention_mask is not None:
        scores += attention_mask.clamp(min=torch.finfo(dtype).min).to(dtype)  # float32's least is none in bfloat16
    shares = F.dropout(scores.softmax(-1), dropout, module.training)
    return (shares @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ON_CPU, attention_on_cpu)
AttentionMaskInterface.register(ON_CPU, eager_mask)


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
