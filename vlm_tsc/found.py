"""What lies on this machine that a run can use: checkpoints and data sets; what is wrong with each, and the fix."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

_MOST = 6  # lines about things of one kind; the rest are counted
_HEADER = 8  # bytes that say how long a safetensors header is


@dataclass(frozen=True)
class Thing:
    """A checkpoint or a set: what to call it, what it is, and what is wrong with it, fix included (None: nothing)."""

    name: str
    what: str
    problem: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.problem or self.what}"


def listed(things: list[Thing]) -> str:
    """A line each, those with a problem first; of many the rest is counted."""
    ordered = sorted(things, key=lambda thing: thing.problem is None)
    more = [f"and {len(things) - _MOST} more"] if len(things) > _MOST else []
    return "\n".join([*map(str, ordered[:_MOST]), *more])


def checkpoints_in(root: Path) -> list[Thing]:
    """The checkpoints of a folder of checkpoints, or the one that it is itself."""
    if (root / "config.json").is_file():
        return [checkpoint(root)]
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [checkpoint(folder) for folder in folders if any(folder.glob("*.json")) or any(folder.glob("*.safetensors"))]


def checkpoints_in_cache(cache: Path) -> list[Thing]:
    """The newest snapshot of every model in a Hugging Face cache."""
    found = []
    for model in sorted(cache.glob("models--*")):
        snapshots = sorted(model.glob("snapshots/*"), key=lambda path: path.stat().st_mtime)
        if snapshots:
            name = "/".join(model.name.split("--")[1:])
            found.append(checkpoint(snapshots[-1], name, f"hf download {name}"))
    return found


def checkpoint(folder: Path, name: str | None = None, fetch: str | None = None) -> Thing:
    """A checkpoint folder, looked at without loading it."""
    name = name or folder.name
    fix = f"; fix: {fetch or f'hf download OWNER/{folder.name} --local-dir {folder}'}"
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type", "unknown kind")
    except (OSError, ValueError, AttributeError) as error:
        why = "no config.json" if isinstance(error, FileNotFoundError) else f"config.json cannot be read ({error})"
        return Thing(name, "", why + fix)
    weights = sorted(folder.glob("*.safetensors"))
    try:
        problem = _weights_problem(folder, weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"its weights cannot be read ({error})"
    if problem is None and not any((folder / f"{part}.json").is_file() for part in ("tokenizer", "tokenizer_config")):
        problem = "no tokenizer"
    size = sum(path.stat().st_size for path in weights) / 1e9
    return Thing(name, f"{kind}, {size:.2f} GB", problem and problem + fix)


def _weights_problem(folder: Path, weights: list[Path]) -> str | None:
    index = folder / "model.safetensors.index.json"
    needed = set(json.loads(index.read_bytes())["weight_map"].values()) if index.is_file() else set()
    missing = sorted(needed - {path.name for path in weights})
    if missing:
        return f"lacks {len(missing)} of {len(needed)} weight files, such as {missing[0]}"
    if not weights:
        pickles = any(folder.glob("*.bin"))
        return "its weights are pickles (.bin), which are never read" if pickles else "no weights (*.safetensors)"
    for path in weights:
        size, whole = path.stat().st_size, _whole_size(path)
        if size != whole:
            return f"{path.name} is cut short: {size} of {whole} bytes"
    return None


def _whole_size(path: Path) -> int:
    """Bytes that a safetensors file must have, by its own header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER), "little")
        if length > path.stat().st_size:
            return _HEADER + length
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return _HEADER + length + max(ends, default=0)


def sets_in(folder: Path) -> list[Thing]:
    """The sets of a data folder, `NAME/NAME_TRAIN.*` and `NAME/NAME_TEST.*`; looked at by their names and sizes."""
    from vlm_tsc.archive.sources import in_folder
    from vlm_tsc.errors import InputError

    things = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        put = f"; fix: put {path.name}_TRAIN.* and {path.name}_TEST.* into {path}"
        try:
            found = in_folder(path.name, path)
        except InputError as error:
            things.append(Thing(path.name, "", str(error).split("\n")[0] + put))
            continue
        files = [file for file in (found.train, found.test) if file] if found else []
        empty = [file.name for file in files if not file.stat().st_size]
        problem = "no such files" if not files else "no test part" if len(files) < 2 else None
        problem = f"{empty[0]} is empty" if empty else problem
        things.append(Thing(path.name, f"{len(files)} files", problem and problem + put))
    return things


def hub_cache() -> Path:
    """The Hugging Face cache, by the variables that its own library reads; importing that takes too long for --help."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(os.path.expanduser(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")))
