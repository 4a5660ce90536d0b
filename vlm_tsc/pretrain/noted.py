"""What a work folder's pre-training is of: it is never gone on from with other settings or series."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json
from vlm_tsc.manifest import data_hash

log = logging.getLogger(__name__)

NOTES_FILE = "pretraining.json"


def note_pretraining(
    work: Path,
    settings: Mapping[str, Any],
    arrays: Iterable[np.ndarray | str] = (),
    *,
    fix: str = "--work-dir DIR for a folder of its own, or remove this one",
    **facts: Any,
) -> None:
    """Write down what the pre-training in folder `work` is of, before anything else is written there.

    Parameters
    ----------
    settings : mapping
        Its whole configuration, as JSON values.
    arrays : iterable of ndarray or str
        The series that it reads, see `manifest.data_hash`.
    fix : str
        What to do where the folder holds another.
    facts
        What else the file shall say.

    Raises
    ------
    InputError
        When the folder holds a pre-training of other settings or series; names the settings that differ.
    """
    path = work / NOTES_FILE
    digest = data_hash(settings, arrays)
    if not path.is_file():
        if any(work.glob("**/state.safetensors")):
            log.warning("%s: nobody noted the settings of the pre-training here; it is taken for this one", work)
        write_json(path, {"hash": digest, **facts, "config": settings})
        return
    noted = json.loads(path.read_text(encoding="utf-8"))
    if noted["hash"] == digest:
        return
    was = noted["config"]
    differs = [key for key in {**settings, **was} if was.get(key) != settings.get(key)] or ["the series"]
    raise InputError("this folder holds another pre-training", where=work, got=f"{differs} differ", fix=fix)
