"""The checkpoints of a training that is under way: where they are, and which of them is whole."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from vlm_tsc.files import write_json

_SECONDS_FILE = "seconds.json"
_WHOLE = ("trainer_state.json", "base.json")  # the last file of a checkpoint; one of a finished adapter


def checkpoints_beside(adapter_folder: Path) -> Path:
    """Where the training that will make `adapter_folder` keeps its checkpoints."""
    return adapter_folder.parent / "checkpoints"


def has_progress(*folders: Path) -> bool:
    """Whether a whole checkpoint or a finished adapter is anywhere in `folders`, which may be vanishing meanwhile."""
    return any(set(files) & set(_WHOLE) for folder in folders for _, _, files in os.walk(folder))


class Stopwatch:
    """Seconds of a training, with those before the checkpoint that it goes on from."""

    def __init__(self, checkpoint: Path | None):
        self._before = _seconds_in(checkpoint) if checkpoint else 0.0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._before + time.monotonic() - self._started

    def note(self, checkpoint: Path) -> None:
        """Write into `checkpoint` how long it took to get there."""
        write_json(checkpoint / _SECONDS_FILE, {"seconds": round(self.seconds, 1)})


def _seconds_in(checkpoint: Path) -> float:
    try:
        return float(json.loads((checkpoint / _SECONDS_FILE).read_text())["seconds"])
    except FileNotFoundError:  # of a version that did not count them
        return 0.0


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
