"""Which files the explorer may open: those whose real place is inside the folder of runs, and nothing else."""

from __future__ import annotations

from pathlib import Path

from vlm_tsc.errors import InputError
from vlm_tsc.run import RunFolder

MARKS = ("config.yaml", "metrics.json", "predictions.jsonl")  # a folder with one of these is a run, whole or not
HERE = "."  # the name of a run that is itself the folder that was opened
_MODELS = ("adapter", "model")


class Missing(InputError):
    """What was asked for is not there."""


def checked_root(folder: Path) -> Path:
    """The real path of the folder of runs; InputError when it is no folder."""
    if not folder.is_dir():
        fix = "python train.py --dataset ItalyPowerDemand makes runs/"
        raise InputError("there is no such folder", where=folder, allowed="a folder of runs", fix=fix)
    return folder.resolve()


def run_names(root: Path) -> list[str]:
    """Names of all runs below `root`, at most two folders deep, sorted: "GunPoint/first"; `HERE` for `root` itself."""
    if is_run(root):
        return [HERE]
    found = []
    for child in _folders(root):
        found += [child] if is_run(child) else [folder for folder in _folders(child) if is_run(folder)]
    return sorted(folder.relative_to(root).as_posix() for folder in found)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, be it unfinished or broken."""
    return any((folder / name).is_file() for name in MARKS)


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []


def run_of(root: Path, name: str) -> RunFolder:
    """The run of a name that anybody may have typed.

    Raises
    ------
    Missing
        When there is none of that name.
    InputError
        When the folder, or a file of it that would be read, lies outside `root`.
    """
    parts = name.split("/")
    if name != HERE and (not all(map(_is_plain, parts)) or len(parts) > 2):
        raise Missing("there is no such run", where="the address", got=name[:200])
    folder = root / name
    if not folder.is_dir() or not is_run(folder):
        raise Missing("there is no such run", where="the address", got=name[:200])
    for path in [folder, *folder.iterdir(), *(path for model in _MODELS for path in (folder / model).glob("**/*"))]:
        refuse_outside(root, path)
    return RunFolder(folder)


def _is_plain(part: str) -> bool:
    return (
        0 < len(part.encode(errors="replace")) < 256
        and part not in (".", "..")
        and "\\" not in part
        and part.isprintable()
    )


def refuse_outside(folder: Path, path: Path) -> None:
    """Raise InputError when `path`, all links followed, is not inside `folder`, a real path."""
    try:
        inside = path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # links in a circle, or a name that no file can have
        inside = False
    if not inside:
        fix = "start the explorer with the folder in which it really is"
        raise InputError("this lies outside the folder of runs", where=path, got="a link that leads out", fix=fix)
