"""The sizes of a base that decide on memory, read off its configuration without its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig

from vlm_tsc.answer.quantised import without_memory
from vlm_tsc.bases import BaseConfig, Part
from vlm_tsc.conversation.processor import from_hub, local_folder
from vlm_tsc.errors import InputError

_CONFIG = "config.json"
_MOST_LIKELY_TOKENS = 576  # of a picture, where nothing says how many: LLaVA-1.5's


class UnknownSizes(InputError):
    """A base whose sizes its configuration does not tell this project: no estimate, which is no reason not to train."""


@dataclass(frozen=True)
class Tower:
    """Widths of a stack of equal layers.

    Attributes
    ----------
    layers, hidden, intermediate, heads : int
    key_value : int
        Width of the keys, and of the values.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value: int


@dataclass(frozen=True)
class Sizes:
    """What is counted of a base.

    Attributes
    ----------
    parameters : int
        All weights; those that are shared count once.
    parts : dict of str to int
        Weights that `method: full` trains, for each part.
    linear : dict of str to tuple of (int, int)
        (inputs, outputs) of each linear layer of a part.
    language, vision : Tower
    vocabulary : int
    patches : float
        Tokens in the vision tower for one token of a picture.
    """

    parameters: int
    parts: dict[Part, int]
    linear: dict[Part, tuple[tuple[int, int], ...]]
    language: Tower
    vision: Tower
    vocabulary: int
    patches: float


def configuration(base: BaseConfig, llava_root: Path | str | None = None) -> Any:
    """The configuration of a base: of its folder, else as its YAML has it, else from the hub (no weights).

    Raises
    ------
    InputError
        When it is nowhere, with the command that fetches it, or cannot be read.
    """
    folder = local_folder(base, llava_root)
    if folder is None and base.config is not None:
        return AutoConfig.for_model(**base.config)
    # not by AutoConfig, which without a network asks again and again for half a minute
    folder = folder or from_hub(base, llava_root, [_CONFIG], lambda path: (path / _CONFIG).is_file(), _CONFIG)
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(
            "The configuration of this base cannot be read.",
            where=folder / _CONFIG,
            got=str(error).split("\n")[0],
            allowed="a checkpoint that transformers opens without code of its own",
        ) from None


def sizes_of(config: Any, patterns: Mapping[Part, str]) -> Sizes:
    """Count a configuration's model; `patterns` name the linear layers of each part.

    Raises
    ------
    UnknownSizes
        When the configuration names them otherwise than all known families do.
    """
    from vlm_tsc.finetune.parts import set_trainable

    model = without_memory(config)
    layers: dict[Part, list[Any]] = {
        part: [layer for name, layer in model.named_modules() if re.fullmatch(pattern, name)]
        for part, pattern in patterns.items()
    }
    linear: dict[Part, tuple[tuple[int, int], ...]] = {
        part: tuple((one.in_features, one.out_features) for one in found) for part, found in layers.items()
    }
    trained = {}
    for part in patterns:
        if layers[part]:
            set_trainable(model, patterns, (part,))
            trained[part] = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    vision = getattr(config, "vision_config", None)
    if vision is None:
        raise UnknownSizes("A base without a vision_config is not known.", where=type(config).__name__)
    merge = getattr(vision, "spatial_merge_size", None) or getattr(config, "scale_factor", None) or 1
    return Sizes(
        parameters=sum(weight.numel() for weight in model.parameters()),
        parts=trained,
        linear=linear,
        language=_tower(config.get_text_config()),
        vision=_tower(vision),
        vocabulary=_rows(model),
        patches=merge**2,
    )


def image_tokens(base: BaseConfig) -> int:
    """Tokens of one picture, as far as the base's YAML says it."""
    return base.image_tokens or _MOST_LIKELY_TOKENS


def _rows(model: Any) -> int:
    head: nn.Module = model.get_output_embeddings() or model.get_input_embeddings()
    return head.weight.shape[0]  # type: ignore[union-attr]


def _tower(config: Any) -> Tower:
    def first(*names: str) -> int:
        for name in names:
            if isinstance(value := getattr(config, name, None), int):
                return value
        raise UnknownSizes(
            "The sizes of this base's layers are not where they are looked for.",
            where=type(config).__name__,
            got=f"no {' or '.join(names)}",
        )

    heads, hidden = first("num_attention_heads", "num_heads"), first("hidden_size")
    width = getattr(config, "head_dim", None) or hidden // heads
    return Tower(
        first("num_hidden_layers", "depth"),
        hidden,
        first("intermediate_size"),
        heads,
        (getattr(config, "num_key_value_heads", None) or heads) * width,
    )
