"""What is known of a base checkpoint: where it is, what its LoRA targets are, and the settings that suit it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vlm_tsc.errors import InputError, nearest
from vlm_tsc.found import hub_cache
from vlm_tsc.resources import PACKAGE, resource_dir
from vlm_tsc.yaml_file import line_of, read_yaml

Part = Literal["language", "projector", "vision", "head"]

# Full-match patterns of the linear layers of each part, for every family that `AutoModelForImageTextToText` opens here:
# LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision; Qwen2.5-VL (visual); SmolVLM (text_model, connector). Activations and
# norms must not match, because PEFT refuses a pattern that finds a layer it cannot adapt.
LORA_TARGETS: dict[Part, str] = {
    "language": r".*(language_model|text_model)\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj",
    "projector": r".*(multi_modal_projector\.linear_\d+|connector\.modality_projection\.proj"
    r"|visual\.merger\.mlp\.[02])",
    "vision": r".*(vision_(tower|model)\.encoder\.layers\.\d+\.(self_attn\.(q|k|v|out)_proj|mlp\.fc\d)"
    r"|visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(gate|up|down)_proj))",
    "head": r"(.*\.)?lm_head",
}


# For a checkpoint that we know nothing of: what suits LLaVA-1.5 and its relatives, with adapters of moderate rank.
GENERIC_DEFAULTS: dict[str, Any] = {
    "data_repr": "BASELINE",
    "pictures": ["line"],
    "context_length": 2048,
    "round_to": 2,
    "trainable": ["language", "projector"],
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "learning_rate": 2e-4,
    "batch_size": 4,
    "augment": 1.0,
    "mixup": 0.0,
    "teacher": "none",
    "eval_batch_size": 8,
    "views": 1,
}


class BaseConfig(BaseModel):
    """One base checkpoint; `configs/bases/<name>.yaml` says only what differs from these defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name used in tables and run names.")
    repository: str = Field(description="Repository id, folder, or vlm_tsc/… for a folder inside the package.")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit of the repository; null for the newest."
    )
    licence: str | None = Field(default=None, description="Licence of the weights.")
    architecture: str | None = Field(default=None, description="One line for people: parts and sizes.")
    image_size: tuple[int, int] | None = Field(
        default=None, description="Pixels [w, h]; null for the processor's own size."
    )
    image_tokens: int | None = Field(
        default=None, description="Tokens of one picture of that size, marks between and around them included."
    )
    parameters: int | None = Field(default=None, description="Number of weights.")
    memory_gb: dict[Literal["bf16", "nf4"], float] | None = Field(
        default=None,
        description="10⁹ bytes of the weights alone: 2 bytes each; in nf4, 4 bits and a 32-bit scale for every 64 in "
        "the linear layers of language and vision. Activations, adapters and their optimizer come on top.",
    )
    config: dict[str, Any] | None = Field(
        default=None, description="Published configuration, model_type included, for estimates without the checkpoint."
    )
    lora_targets: dict[Part, str] = Field(
        default=LORA_TARGETS, description="Part → full-match pattern of its linear layers."
    )
    epochs: float = Field(2.0, description="Passes over the training part when --num-epochs is not given …")
    min_steps: int = Field(100, description="… but at least so many optimiser steps …")
    max_steps: int = Field(10**9, description="… and at most so many.")
    full_augmentation: float | None = Field(
        default=None,
        description="Passes over the training part from which on there is all of the augmentation and of the mixtures; "
        "with fewer there is less; null for any number.",
    )
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
        A name in `configs/bases/`, the repository id of one of those or its last part, any other repository id
        ("owner/name"), a folder, or the name of a folder inside `llava_root` or of a repository in the Hugging Face
        cache. A folder that is named like the repository of a known base gets that one's settings.
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
    last = Path(os.path.expanduser(name)).resolve().name
    alike = [base for base in map(_read_base, known.values()) if Path(base.repository).name == last]
    for base in alike:
        if name in (base.repository, last) and not _is_folder(name, llava_root):
            return base
    if (repository := _repository(name, llava_root)) is not None:
        own: dict[str, Any] = {"name": last, "repository": repository}
        return alike[0].model_copy(update=own | {"revision": None}) if alike else BaseConfig(**own)
    raise InputError(
        f"there is no base {name}",
        where=where,
        got=name,
        allowed=f"{', '.join(known)}; a repository id (owner/name); a folder",
        fix=_did_you_mean(name, known),
    )


def _repository(name: str, llava_root: Path | str | None) -> str | None:
    """Where the base `name` lies, as `BaseConfig.repository` says it: a folder or a repository id; None if nowhere."""
    if _is_folder(name, llava_root) or re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        return name
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        return None
    cached = [path.name.split("--") for path in hub_cache().glob(f"models--*--{name}")]
    return f"{cached[0][1]}/{name}" if len(cached) == 1 else None


def _is_folder(name: str, llava_root: Path | str | None) -> bool:
    if os.path.isdir(os.path.expanduser(name)):
        return True
    # a bare name only: `llava_root / "../x"` would leave the folder that the user named
    return bool(llava_root) and Path(name).name == name and (Path(os.path.expanduser(llava_root)) / name).is_dir()


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
