"""Which parts of a base are trained, and by which method."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from vlm_tsc.answer.quantised import Quantisation
from vlm_tsc.bases import Part
from vlm_tsc.errors import InputError

QUANTISED: dict[str, Literal["nf4", "int8"]] = {"qlora": "nf4", "qlora8": "int8"}


def quantisation_of(method: str, patterns: Mapping[Part, str]) -> Quantisation | None:
    """How the base is loaded for a method: language and vision quantised for QLoRA, None for the others."""
    kind = QUANTISED.get(method)
    return Quantisation(kind, (patterns["language"], patterns["vision"])) if kind else None


def make_trainable(
    model: Any, patterns: Mapping[Part, str], parts: Sequence[Part], method: str, lora: Mapping[str, Any]
) -> Any:
    """Freeze `model` but for what `method` trains of `parts`; `lora` is what `add_lora` takes.

    What is trained is in float32: an update of a thousandth of a weight is lost in bfloat16.

    Raises
    ------
    InputError
        When `patterns` do not fit the base, or its head is also its table of embeddings.
    """
    if "head" in parts and model.get_output_embeddings().weight is model.get_input_embeddings().weight:
        raise InputError(
            "The output layer of this base is also its table of embeddings.",
            where="--trainable",
            got="head",
            allowed="parts without head: an adapter of one would change the other when it is merged",
        )
    if method == "full":
        model = set_trainable(model, patterns, parts)
    else:
        model = add_lora(model, patterns, parts, dora=method == "dora", **lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return model


def base_of(model: Any) -> Any:
    """The base inside an adapted model; another model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def projector_names(model: nn.Module, patterns: Mapping[Part, str]) -> list[str]:
    """Names of the projector's linear layers; refuses a base in which the pattern finds none."""
    found = [name for name, _ in model.named_modules() if re.fullmatch(patterns["projector"], name)]
    if not found:
        raise InputError(
            "The base has no projector that this project knows.",
            where="lora_targets.projector in the base's YAML",
            got=patterns["projector"],
            allowed="a pattern that fits its linear layers, or neither --trainable projector nor vision-probe",
        )
    return found


def add_lora(
    model: nn.Module,
    patterns: Mapping[Part, str],
    parts: Sequence[Part],
    *,
    r: int,
    alpha: int,
    dropout: float,
    dora: bool = False,
) -> PeftModel:
    """Freeze `model` and make `parts` trainable: LoRA on language and vision, the small projector in full.

    Parameters
    ----------
    patterns : mapping
        Part ("language", "projector", "vision", "head") → pattern that the full names of its linear layers match.
    parts : sequence of {"language", "projector", "vision", "head"}
    dora : bool
        Direction and magnitude of a weight apart (arXiv:2402.09353).

    Raises
    ------
    InputError
        When a pattern finds no layer.
    """
    lora = [patterns[part] for part in parts if part != "projector"]
    names = [name for name, _ in model.named_modules()]
    for pattern in lora:
        if not any(re.fullmatch(pattern, name) for name in names):
            raise InputError(
                "No layer of the base matches a LoRA pattern.",
                where="lora_targets in the base's YAML",
                got=pattern,
                allowed="a pattern that fits full module names",
            )
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="|".join(f"(?:{pattern})" for pattern in lora) if lora else _NOTHING,
        modules_to_save=projector_names(model, patterns) if "projector" in parts else None,
        bias="none",
        use_dora=dora,
    )
    return get_peft_model(model, config)


_NOTHING = r"(?!)"  # matches no module: only the projector is trained


def set_trainable(model: nn.Module, patterns: Mapping[Part, str], parts: Sequence[Part]) -> nn.Module:
    """`method: full`: every weight of `parts` is trained, all others are frozen."""
    markers = {
        "language": {"language_model", "text_model", "lm_head"},
        "vision": {"vision_tower", "vision_model", "visual"},
        "head": {"lm_head"},
    }
    wanted = set().union(*(markers[part] for part in parts if part != "projector"))
    projector = projector_names(model, patterns) if "projector" in parts else []
    for name, parameter in model.named_parameters():
        chosen = bool(wanted & set(name.split("."))) or any(name.startswith(f"{layer}.") for layer in projector)
        parameter.requires_grad_(chosen)
    return model
