"""Large linear layers in 4 or 8 bits, by bitsandbytes, on a GPU or a CPU."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from vlm_tsc.errors import InputError


@dataclass(frozen=True)
class Quantisation:
    """Which layers of a base are quantised, and how.

    Attributes
    ----------
    kind : "nf4" or "int8"
        4-bit normal floats with doubly quantised scales (QLoRA, arXiv:2305.14314), or LLM.int8 (arXiv:2208.07339).
    layers : tuple of str
        Full-match patterns of their names. What matches none keeps its precision: the projector, because it is trained
        in full; `lm_head`, because it decides; embeddings and norms, because they are small.
    """

    kind: Literal["nf4", "int8"]
    layers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives an equal object back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Quantisation:
        """The object that `to_dict` described."""
        return cls(values["kind"], tuple(values["layers"]))

    def takes(self, name: str) -> bool:
        """Whether the linear layer of this full name is quantised."""
        return any(re.fullmatch(pattern, name) for pattern in self.layers)


def bitsandbytes_config(config: Any, quantisation: Quantisation, compute: torch.dtype) -> BitsAndBytesConfig:
    """What `from_pretrained` is told, so that exactly the layers of `quantisation` are quantised.

    bitsandbytes takes the names that stay, so those of the model are read off a copy without memory.

    Parameters
    ----------
    config
        The checkpoint's configuration.
    compute : torch.dtype
        In which 4-bit weights are multiplied.

    Raises
    ------
    InputError
        When no layer matches, or bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            "Quantised weights need bitsandbytes, which is not installed.",
            where="--method",
            allowed="qlora and qlora8 on Linux, where setup.sh installs it",
            fix="--method lora",
        )
    model = without_memory(config)
    linear = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    kept = [name for name in linear if not quantisation.takes(name)]
    if len(kept) == len(linear):
        raise InputError(
            "No layer of the base can be quantised: none matches a pattern.",
            where="lora_targets in the base's YAML",
            got=quantisation.layers,
            allowed="patterns that fit full module names",
        )
    if quantisation.kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=kept,
    )


def without_memory(config: Any) -> Any:
    """The model of a configuration with its names and shapes, and no weights."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def quantised_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Full name → layer, for every layer that bitsandbytes quantised."""
    from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt

    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear4bit | Linear8bitLt)}


def keep_layout(model: nn.Module) -> None:
    """Have 4-bit layers compute alike in training and in evaluation.

    On a CPU with bfloat16 instructions bitsandbytes packs a layer's weights at its first pass in evaluation mode; from
    then on it computes without gradients, also when training goes on, and it fails where a width is no multiple of 32.
    """
    for layer in quantised_layers(model).values():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # a plain attribute


def dequantise_into(plain: nn.Module, quantised: nn.Module) -> None:
    """Give the layers of `plain` the values that the quantised layers of the same names compute with."""
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    for name, layer in quantised_layers(quantised).items():
        weight: Any = plain.get_submodule(name.removesuffix(".base_layer")).weight  # as PEFT names the adapted ones
        values: Any = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))  # type: ignore[arg-type]
        weight.data.copy_(values)
