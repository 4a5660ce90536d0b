"""What a run's data are made of, and which stage is finished: so that nothing stale is ever used again."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json
from vlm_tsc.resources import PACKAGE
from vlm_tsc.run import RunFolder

log = logging.getLogger(__name__)

PACKAGES = (
    *("vlm-tsc", "torch", "transformers", "peft", "accelerate", "deepspeed"),
    *("aeon", "numpy", "pillow", "matplotlib"),
)
State = Literal["fresh", "partial", "done", "stale"]


class Manifest(BaseModel):
    """Contents of `manifest.json`.

    Attributes
    ----------
    data_hash : str or None
        Hash of everything that determines the data, see `data_hash`; None where the run has no data of its own.
    commit : str
        Commit of the project that wrote it, see `commit`.
    versions : dict of str to str
        Versions of Python and the main packages.
    counts : dict
        Split → class → number of cases.
    details : dict
        What else a reader should know, such as the downsampling factor and the range of tokens.
    started, finished : dict of str to str
        Stage → hash it works, or worked, with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_hash: str | None = None
    commit: str = ""
    versions: dict[str, str] = {}
    counts: dict[str, dict[str, int]] = {}
    details: dict[str, Any] = {}
    started: dict[str, str] = {}
    finished: dict[str, str] = {}


def read_manifest(run: RunFolder) -> Manifest | None:
    """The run's manifest, None when it has none.

    Raises
    ------
    InputError
        When the file is no JSON (with its line), or no manifest.
    """
    try:
        return Manifest.model_validate(json.loads(run.manifest.read_bytes()))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        where = f"{run.manifest}, line {error.lineno}, column {error.colno}"
        raise InputError("the manifest is no JSON", where=where, got=error.msg, fix=_fix(run)) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError("the manifest is no JSON", where=run.manifest, got=str(error), fix=_fix(run)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(f"the manifest is wrong: {key}", where=run.manifest, got=first["msg"], fix=_fix(run)) from None


def write_manifest(run: RunFolder, manifest: Manifest) -> None:
    """Write `manifest.json` atomically."""
    write_json(run.manifest, manifest.model_dump(mode="json"))


def check_stage(run: RunFolder, stage: str, expected: str, outputs: Iterable[Path] = ()) -> State:
    """How far a stage is, with the hash that is expected now. What is stale, and why, is logged.

    Parameters
    ----------
    run : RunFolder
        The run.
    stage : str
        Name of the stage: "data", "training" …
    expected : str
        Hash of all that determines the stage's output, as it is now.
    outputs : iterable of Path
        Files that the stage writes.

    Returns
    -------
    "fresh", "partial", "done" or "stale"
        fresh: nothing is there. partial: begun with this hash, so what is there may be kept. done: finished with this
        hash, and every output is there. stale: output of another hash, or output whose origin nobody noted.
    """
    manifest = read_manifest(run) or Manifest()
    outputs = list(outputs)
    there = [path for path in outputs if path.exists()]
    begun = manifest.started.get(stage)
    if begun == expected:
        return "done" if manifest.finished.get(stage) == expected and there == outputs else "partial"
    if begun is None and not there:
        return "fresh"
    was = f"of other settings or series ({begun[:8]}, now {expected[:8]})" if begun else "of unknown origin"
    log.warning("%s: the %s here is %s; it is not used", run.path, stage, was)
    return "stale"


def stale(run: RunFolder, stage: str) -> InputError:
    """The error for a stage that must not rebuild what it found."""
    return InputError(
        f"the {stage} in this folder was made with other settings or series",
        where=run.path,
        fix="--run-name NAME for a folder of its own, or remove this one",
    )


def begin_stage(run: RunFolder, stage: str, expected: str, outputs: Iterable[Path] = ()) -> Manifest:
    """Note, before the first output is written, which hash a stage works with; stale outputs are removed first.

    First, because a process that is killed in between must not leave old outputs beside the new hash, where the next
    one would take them for its own. Beginning "data" with another hash forgets every other stage: what they wrote was
    made of the old data, and counts as stale from then on.
    """
    old = read_manifest(run) or Manifest()
    if old.started.get(stage) != expected:
        for path in outputs:
            _remove(path)
    if stage == "data" and old.data_hash != expected:
        old = Manifest(data_hash=expected)
    finished = {name: value for name, value in old.finished.items() if name != stage}
    fields = {"started": {**old.started, stage: expected}, "finished": finished}
    manifest = old.model_copy(update={**fields, "commit": commit(), "versions": versions()})
    write_manifest(run, manifest)
    return manifest


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def finish_stage(run: RunFolder, stage: str, expected: str, **notes: Any) -> Manifest:
    """Note, after the last output is written, that a stage is finished; `notes` are other fields, such as `counts`.

    Raises
    ------
    ValueError
        When the stage was not begun with this hash: a mistake of the caller.
    """
    manifest = read_manifest(run)
    if manifest is None or manifest.started.get(stage) != expected:
        raise ValueError(f"stage {stage} was not begun with hash {expected}")
    fields = {**manifest.model_dump(), **notes, "finished": {**manifest.finished, stage: expected}}
    fields |= {"commit": commit(), "versions": versions()}
    manifest = Manifest.model_validate(fields)
    write_manifest(run, manifest)
    return manifest


def data_hash(settings: Mapping[str, Any], arrays: Iterable[np.ndarray | str] = ()) -> str:
    """SHA-256, in hex, over the settings as canonical JSON and every array's type, shape and bytes, in order.

    Parameters
    ----------
    settings : mapping
        JSON values; the order of keys does not count.
    arrays : iterable of ndarray or str
        Numbers, or texts (an array of str, such as `y`, or a text, such as a template or a file's name).
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    for array in arrays:
        if isinstance(array, str) or array.dtype.kind in "OUS":
            text = json.dumps(array if isinstance(array, str) else array.tolist())
            digest.update(f"\n{len(text)} text {text}".encode())
        else:
            array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"\n{array.dtype.str} {array.shape} ".encode())
            digest.update(array.data)
    return digest.hexdigest()


@functools.cache
def commit() -> str:
    """Commit of the project when it is a git checkout, with "+dirty" when tracked files differ; else its version."""
    if (PACKAGE.parent / ".git").exists() and (head := _git("rev-parse", "HEAD")):
        return head + ("+dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    return _version("vlm-tsc") or "unknown"


def _git(*arguments: str) -> str:
    """What git says, "" when it cannot. GIT_DIR and its like are dropped: inside a hook they name another project."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        # no optional locks: a status that is killed while it refreshes the index would leave its lock behind
        command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=plain, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def versions() -> dict[str, str]:
    """Version of Python and of every main package that is installed."""
    found = {name: _version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **{name: version for name, version in found.items() if version}}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fix(run: RunFolder) -> str:
    return f"remove {run.manifest} and run again: what belongs to it is then rebuilt"
