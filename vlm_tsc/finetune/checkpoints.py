"""The checkpoints of a training that is under way: where they are, and which of them is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def checkpoints_beside(adapter_folder: Path) -> Path:
    """Where the training that will make `adapter_folder` keeps its checkpoints."""
    return adapter_folder.parent / "checkpoints"


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; half-written ones are removed.

    The Trainer writes `trainer_state.json` last, so a checkpoint without it was interrupted.
    """
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            whole.append((json.loads((path / "trainer_state.json").read_text())["global_step"], path))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(path, ignore_errors=True)
    return max(whole)[1] if whole else None
