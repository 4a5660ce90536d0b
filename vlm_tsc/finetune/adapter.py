"""The adapter: which parts of a base are trained, and the folder that holds all a finished run needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import Part
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.processor import load_processor
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json
from vlm_tsc.finetune.merged import merge_plain_lora

if TYPE_CHECKING:
    from peft import PeftModel  # where it is used, it is imported: that takes seconds, and a plain adapter needs none

PRESENTATION_FILE = "presentation.json"
BASE_FILE = "base.json"


def projector_names(model: nn.Module, patterns: Mapping[Part, str]) -> list[str]:
    """Names of the projector's linear layers; refuses a base in which the pattern finds none."""
    found = [name for name, _ in model.named_modules() if re.fullmatch(patterns["projector"], name)]
    if not found:
        raise InputError(
            "The base has no projector that this project knows.",
            where="lora_targets.projector in the base's YAML",
            got=patterns["projector"],
            allowed="a pattern that fits the projector's linear layers, or --trainable without projector",
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
) -> PeftModel:
    """Freeze `model` and make `parts` trainable: LoRA on language and vision, the small projector in full.

    Parameters
    ----------
    patterns : mapping
        Part ("language", "projector", "vision") → pattern that the full names of its linear layers match.
    parts : sequence of {"language", "projector", "vision"}

    Raises
    ------
    InputError
        When a pattern finds no layer.
    """
    from peft import LoraConfig, get_peft_model

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
    )
    return get_peft_model(model, config)


_NOTHING = r"(?!)"  # matches no module: only the projector is trained


def set_trainable(model: nn.Module, patterns: Mapping[Part, str], parts: Sequence[Part]) -> nn.Module:
    """`method: full`: every weight of `parts` is trained, all others are frozen."""
    markers = {
        "language": {"language_model", "text_model", "lm_head"},
        "vision": {"vision_tower", "vision_model", "visual"},
    }
    wanted = set().union(*(markers[part] for part in parts if part != "projector"))
    projector = projector_names(model, patterns) if "projector" in parts else []
    for name, parameter in model.named_parameters():
        chosen = bool(wanted & set(name.split("."))) or any(name.startswith(f"{layer}.") for layer in projector)
        parameter.requires_grad_(chosen)
    return model


def base_hash(folder: Path | str) -> str:
    """A fingerprint of a checkpoint folder: its config, and of each weight file the size, first and last MiB.

    The whole of a 7B checkpoint would take a minute to hash; two trainings never share their first and last MiB.
    """
    digest = hashlib.sha256()
    folder = Path(folder)
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size};".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read())
    return digest.hexdigest()[:16]


def write_adapter_facts(
    folder: Path, presentation: Presentation, base: str, base_folder: Path, **training: Any
) -> None:
    """Write beside the weights what they need to be used: how cases are shown, and which base they belong to.

    `training` is kept as it is given (method, steps, seconds …).
    """
    write_json(folder / PRESENTATION_FILE, presentation.to_dict())
    write_json(folder / BASE_FILE, {"name": base, "hash": base_hash(base_folder), **training})


def name_base(folder: Path, base: str) -> None:
    """Let PEFT's own file name the base by its name: the path it was loaded from means nothing elsewhere."""
    path = folder / "adapter_config.json"
    if path.exists():
        write_json(path, json.loads(path.read_text()) | {"base_model_name_or_path": base})


def read_adapter_facts(folder: Path) -> tuple[Presentation, dict[str, Any]]:
    """What `write_adapter_facts` wrote.

    Raises
    ------
    InputError
        When the folder is no adapter of this project.
    """
    try:
        presentation = Presentation.from_dict(json.loads((folder / PRESENTATION_FILE).read_text()))
        return presentation, json.loads((folder / BASE_FILE).read_text())
    except FileNotFoundError as error:
        raise InputError(
            "This folder holds no finished adapter.",
            where=folder,
            got=f"no {Path(error.filename).name}",
            fix="run train.py (again) to finish it",
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(
            "A file of the adapter is broken.", where=f"{folder}, line {error.lineno}", got=error.msg
        ) from None


def load_finished(folder: Path, base_folder: Path, precision: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    """Model with its adapter, processor, and the facts of its training, from a finished adapter folder.

    Raises
    ------
    InputError
        When the folder is no finished adapter, or was trained on another base.
    """
    _, facts = read_adapter_facts(folder)
    found = base_hash(base_folder)
    if facts["hash"] != found:
        raise InputError(
            "The adapter belongs to another base.",
            where=folder,
            got=f"{base_folder} ({found})",
            allowed=f"{facts['name']} ({facts['hash']})",
            fix=f"--base {facts['name']}",
        )
    if facts["method"] == "full":  # the folder is a checkpoint of its own
        model, _ = load_model(folder, precision)
        return model, load_processor(base_folder), facts
    model, processor = load_model(base_folder, precision)
    is_exact = next(model.parameters()).dtype == torch.float32  # coarser weights would be rounded by merging
    if is_exact and merge_plain_lora(model, folder):  # it spares two products in every layer
        return model.eval(), processor, facts
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, folder)
    return (model.merge_and_unload() if is_exact else model).eval(), processor, facts
