"""The folder of a trained network: weights as safetensors, and beside them what they are for."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes
from vlm_tsc.manifest import commit

log = logging.getLogger(__name__)
WEIGHTS, FACTS = "model.safetensors", "model.json"
_SEEN = "seen_cases"  # among the weights: 8 bytes a case


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_gpu(gpu_id: int | None) -> None:
    """Let `device` be the GPU of this number; on a machine without any it stays the CPU, and that is logged.

    Raises
    ------
    InputError
        When there are GPUs, but not this one.
    """
    if gpu_id is None:
        return
    if not torch.cuda.is_available():
        log.warning("--gpu-id %d: there is no GPU here; the CPU computes", gpu_id)
    elif gpu_id >= torch.cuda.device_count():
        raise InputError("there is no such GPU", where="--gpu-id", got=gpu_id, allowed=range(torch.cuda.device_count()))
    else:
        torch.cuda.set_device(gpu_id)


def packed(
    tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any], seen: np.ndarray | None = None
) -> dict[str, bytes]:
    """Name → content of the two files of a model folder; `seen`: `case_hashes` of what the weights were trained on."""
    if seen is not None:
        tensors = {**tensors, _SEEN: torch.from_numpy(seen)}
    data = save_tensors({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    whole = {**facts, "commit": commit(), "sha256": hashlib.sha256(data).hexdigest()}
    return {WEIGHTS: data, FACTS: (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()}


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, in hex, of weights."""
    return hashlib.sha256(packed(tensors, {})[WEIGHTS]).hexdigest()


def facts_of(files: Mapping[str, bytes], kind: str, format_: int) -> dict[str, Any]:
    """The facts in the files that `packed` made of a classifier `kind`.

    Raises
    ------
    ValueError, KeyError, TypeError
        When they are of something else, broken, or of two models.
    """
    facts = json.loads(files[FACTS])
    if facts["classifier"] != kind or facts["format"] != format_:
        raise ValueError(f"{facts['classifier']}, format {facts['format']}")
    if hashlib.sha256(files[WEIGHTS]).hexdigest() != facts["sha256"]:
        raise ValueError(f"{WEIGHTS} and {FACTS} are not of one model; its training was interrupted")
    return facts


def tensors_of(files: Mapping[str, bytes]) -> tuple[dict[str, torch.Tensor], np.ndarray | None]:
    """Weights, and what they have seen, in the files that `packed` made; None where these do not say."""
    tensors = load_tensors(files[WEIGHTS])
    seen = tensors.pop(_SEEN, None)
    return tensors, None if seen is None else seen.numpy()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of `packed`; the facts last, so that a folder that has them is whole."""
    for name in (WEIGHTS, FACTS):
        write_bytes(folder / name, files[name])


def read_folder(folder: Path, fix: str | None = None) -> dict[str, bytes]:
    """Both files of a model folder.

    Raises
    ------
    InputError
        When one is not there; `fix` says what makes it.
    """
    for name in (FACTS, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError("this is no finished model", where=folder, got=f"no {name}", fix=fix)
    return {name: (folder / name).read_bytes() for name in (WEIGHTS, FACTS)}
