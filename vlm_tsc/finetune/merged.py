"""A plain LoRA adapter added to its base's weights without PEFT, whose import takes longer than all else of a start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

_PREFIX = "base_model.model."  # PEFT's, before the name of every module
# What of an adapter's configuration says that it is more than W + (alpha / r) B A; all are false in a plain one.
_MORE = ("alpha_pattern", "rank_pattern", "fan_in_fan_out", "layer_replication", "lora_bias", "trainable_token_indices")
_MORE += ("target_parameters", "alora_invocation_tokens", "arrow_config", "kasa_config", "velora_config")


def merge_plain_lora(model: nn.Module, folder: Path) -> bool:
    """Put the adapter of `folder` into the weights of `model`, as PEFT's own merge does, to the same bits.

    Returns
    -------
    bool
        False, and the model is as before, where the adapter is of a kind that is left to PEFT.
    """
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if not _is_plain(config):
        return False
    tensors = load_file(folder / "adapter_model.safetensors")
    changes = _changes(model, tensors, config["lora_alpha"] / config["r"])
    if changes is None:
        return False
    with torch.no_grad():
        for parameter, change, is_added in changes:
            parameter.add_(change) if is_added else parameter.copy_(change)
    return True


def _is_plain(config: dict[str, Any]) -> bool:
    variants = any(value for name, value in config.items() if name.startswith("use_"))
    more = variants or any(config.get(name) for name in _MORE)
    kind = (config.get("peft_type"), config.get("bias"), config.get("init_lora_weights"))
    return kind == ("LORA", "none", True) and not more


def _changes(
    model: nn.Module, tensors: dict[str, torch.Tensor], scale: float
) -> list[tuple[nn.Parameter, torch.Tensor, bool]] | None:
    """(parameter, what is added to it or replaces it, whether it is added); None where a name is unknown."""
    parameters = dict(model.named_parameters())
    changes = []
    for name, tensor in tensors.items():
        own = name.removeprefix(_PREFIX)
        if own.endswith(".lora_A.weight"):
            continue  # with its B
        is_added = own.endswith(".lora_B.weight")
        parameter = parameters.get(own.replace(".lora_B.weight", ".weight"))
        if is_added:
            first = tensors.get(name.replace(".lora_B.", ".lora_A."))
            tensor = tensor @ first * scale if first is not None else tensor
        if parameter is None or parameter.shape != tensor.shape or parameter.dtype != torch.float32:
            return None
        changes.append((parameter, tensor, is_added))
    return changes
