"""The adapter folder: all that a finished run needs, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vlm_tsc.answer.members import Members
from vlm_tsc.answer.model import load_model
from vlm_tsc.answer.quantised import Quantisation
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.processor import load_processor
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json
from vlm_tsc.finetune.merged import merge_plain_lora

if TYPE_CHECKING:
    from peft import PeftModel

MEMBER = "member-"  # and a number: the folders of an ensemble's other adapters, inside that of the first
PRESENTATION_FILE = "presentation.json"
BASE_FILE = "base.json"


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


def quantisation_in(facts: dict[str, Any]) -> Quantisation | None:
    """How the base was quantised that this adapter was trained on, so that it is quantised alike again."""
    return Quantisation.from_dict(facts["quantised"]) if facts.get("quantised") else None


def load_finished(folder: Path, base_folder: Path, precision: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    """Model, processor and facts; of an ensemble `Members`, and the seconds of all its trainings.

    Adapters are merged where that loses nothing, which spares two products in every layer.

    Raises
    ------
    InputError
        When the folder is no finished adapter, or was trained on another base.
    """
    model, processor, facts = _load_one(folder, base_folder, precision)
    others = [_load_one(member, base_folder, precision) for member in members_in(folder)]
    if not others:
        return model, processor, facts
    seconds = round(facts["seconds"] + sum(other["seconds"] for _, _, other in others), 1)
    return Members([model, *(other for other, _, _ in others)]), processor, facts | {"seconds": seconds}


def members_in(folder: Path) -> list[Path]:
    """The adapter folders beyond the first that an ensemble's folder holds."""
    return sorted(folder.glob(f"{MEMBER}*"), key=lambda path: int(path.name.removeprefix(MEMBER)))


def _load_one(folder: Path, base_folder: Path, precision: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    model, processor, facts = _load_base(folder, base_folder, precision)
    if facts["method"] == "full":
        return model, processor, facts
    # coarser weights would be rounded by merging
    is_exact = quantisation_in(facts) is None and next(model.parameters()).dtype == torch.float32
    if is_exact and merge_plain_lora(model, folder):
        return model.eval(), processor, facts
    adapted = _with_adapter(model, folder)
    return (adapted.merge_and_unload() if is_exact else adapted).eval(), processor, facts


def load_adapter(folder: Path, base_folder: Path, precision: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    """Model with its adapter beside its weights, processor, and the facts of its training; of `method: full` the model.

    Raises
    ------
    InputError
        When the folder is no finished adapter, holds several of them, or was trained on another base.
    """
    if others := members_in(folder):
        what, got = "An ensemble is several models, and this takes one.", f"{len(others) + 1} adapters"
        raise InputError(what, where=folder, got=got, fix="train one, with --ensemble 1")
    model, processor, facts = _load_base(folder, base_folder, precision)
    if facts["method"] != "full":
        model = _with_adapter(model, folder)
    return model.eval(), processor, facts


def _load_base(folder: Path, base_folder: Path, precision: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    """The base that the adapter was trained on, quantised as then; of `method: full`, whose folder is a checkpoint of
    its own, that one."""
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
    if facts["method"] == "full":
        model, _ = load_model(folder, precision)
        return model, load_processor(base_folder), facts
    model, processor = load_model(base_folder, precision, quantisation_in(facts))
    return model, processor, facts


def _with_adapter(model: Any, folder: Path) -> PeftModel:
    from peft import PeftModel  # it takes seconds, and a plain adapter is merged without it

    return PeftModel.from_pretrained(model, folder)
