"""What is known of a base checkpoint: where it is, what its LoRA targets are, and the settings that suit it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vlm_tsc.errors import InputError, nearest
from vlm_tsc.resources import PACKAGE, resource_dir
from vlm_tsc.yaml_file import line_of, read_yaml

Part = Literal["language", "projector", "vision"]

# Full-match patterns of the linear layers of each part, for every family that `AutoModelForImageTextToText` opens here:
# LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision; Qwen2.5-VL (visual); SmolVLM (text_model, connector). Activations and
# norms must not match, because PEFT refuses a pattern that finds a layer it cannot adapt.
LORA_TARGETS: dict[Part, str] = {
    "language": r".*(language_model|text_model)\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj",
    "projector": r".*(multi_modal_projector\.linear_\d+|connector\.modality_projection\.proj|visual\.merger\.mlp\.\d+)",
    "vision": r".*(vision_(tower|model)\.encoder\.layers\.\d+\.(self_attn\.(q|k|v|out)_proj|mlp\.fc\d)"
    r"|visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(gate|up|down)_proj))",
}


# For a checkpoint that we know nothing of: what suits LLaVA-1.5 and its relatives, with adapters of moderate rank.
GENERIC_DEFAULTS: dict[str, Any] = {
    "data_repr": "BASELINE",
    "context_length": 2048,
    "round_to": 2,
    "trainable": ["language", "projector"],
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "learning_rate": 2e-4,
    "batch_size": 4,
    "augment": 1.0,
    "eval_batch_size": 8,
    "views": 1,
}


class BaseConfig(BaseModel):
    """One base checkpoint; `configs/bases/<name>.yaml` says only what differs from these defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name used in tables and run names.")
    repository: str = Field(description="Repository id, folder, or vlm_tsc/… for a folder inside the package.")
    revision: str | None = Field(default=None, description="Commit or tag of the repository; null for the newest.")
    licence: str | None = Field(default=None, description="Licence of the weights.")
    architecture: str | None = Field(default=None, description="One line for people: parts and sizes.")
    image_size: tuple[int, int] | None = Field(
        default=None, description="Pixels [w, h]; null for the processor's own size."
    )
    lora_targets: dict[Part, str] = Field(
        default=LORA_TARGETS, description="Part → full-match pattern of its linear layers."
    )
    epochs: float = Field(2.0, description="Passes over the training part when --num-epochs is not given …")
    min_steps: int = Field(1, description="… but at least so many optimiser steps …")
    max_steps: int = Field(10**9, description="… and at most so many.")
    defaults: dict[str, Any] = Field(
        default_factory=GENERIC_DEFAULTS.copy, description="Settings that suit this base; the rest is generic."
    )
    source: Path | None = Field(
        default=None, description="The YAML this was read from; None for a base we do not know."
    )


def known_bases() -> dict[str, Path]:
    """Name → YAML of every base that the project ships settings for."""
    return {path.stem: path for path in sorted(resource_dir("configs/bases").glob("*.yaml"))}


def load_base(name: str, llava_root: Path | str | None = None, *, where: str = "--base") -> BaseConfig:
    """What is known of base `name`.

    Parameters
    ----------
    name : str
        A name in `configs/bases/`, the repository id of one of those, any other repository id ("owner/name"), a
        folder, or the name of a folder inside `llava_root`.
    llava_root : path, optional
        Folder of local checkpoints.
    where : str
        Who named the base, for the message.

    Raises
    ------
    InputError
        When the name is none of these, or the YAML of the base is wrong.
    """
    known = known_bases()
    if name in known:
        return _read_base(known[name])
    if "/" in name:
        for path in known.values():
            if (base := _read_base(path)).repository == name:
                return base
    if _is_checkpoint_name(name, llava_root):
        return BaseConfig(name=Path(os.path.expanduser(name)).resolve().name, repository=name)
    raise InputError(
        f"there is no base {name}",
        where=where,
        got=name,
        allowed=f"{', '.join(known)}; a repository id (owner/name); a folder",
        fix=_did_you_mean(name, known),
    )


def _is_checkpoint_name(name: str, llava_root: Path | str | None) -> bool:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) or os.path.isdir(os.path.expanduser(name)):
        return True
    # a bare name only: `llava_root / "../x"` would leave the folder that the user named
    if not llava_root or Path(name).name != name:
        return False
    return (Path(os.path.expanduser(llava_root)) / name).is_dir()


def _did_you_mean(name: str, known: dict[str, Path]) -> str | None:
    close = nearest(name, known, n=1)
    return f"did you mean {close[0]}?" if close else None


def _read_base(path: Path) -> BaseConfig:
    values, lines = read_yaml(path)
    try:
        own = values.get("defaults")
        if isinstance(own, dict):
            values = {**values, "defaults": {**GENERIC_DEFAULTS, **own}}
        base = BaseConfig.model_validate({"name": path.stem, "source": path, **values})
    except ValidationError as error:
        first = error.errors()[0]
        key = tuple(str(part) for part in first["loc"])
        where = f"{path}{line_of(lines, key)} ({'.'.join(key)})"
        raise InputError(first["msg"], where=where, got=repr(first["input"])) from None
    if base.repository.startswith("vlm_tsc/"):
        base = base.model_copy(update={"repository": str(PACKAGE.parent / base.repository)})
    return base
