"""Where a set is found, in this order: own file, data folder, inside aeon, the cache, aeon's list of downloads."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vlm_tsc.archive import download
from vlm_tsc.archive.formats import READERS, SUFFIXES, suffix_of
from vlm_tsc.errors import InputError, nearest

DATA_DIR = "VLM_TSC_DATA"
NAME = re.compile(r"\w[\w.+-]*")


@dataclass(frozen=True)
class Found:
    """Files of a set; `train` holds every case when `one_file`."""

    name: str
    train: Path
    test: Path | None
    one_file: bool


def find(dataset: str, data_dir: Path | str | None = None, test: Path | str | None = None) -> Found:
    """Files of the set that `dataset` names.

    Parameters
    ----------
    dataset : str
        Name of a set such as "GunPoint", or path of the user's own file.
    data_dir : path, optional
        Folder with one folder per set, `GunPoint/GunPoint_TRAIN.*`; default: the environment variable VLM_TSC_DATA.
    test : path, optional
        Test part of the user's own file.

    Raises
    ------
    InputError
        When nothing is found (with the nearest names and where it looked), a file is missing, or the download fails.
    """
    if _is_path(dataset):
        return _own_file(dataset, test)
    if test is not None:
        allowed = "a path to your own file as the dataset, or a set's name alone"
        raise InputError(
            "only a file of your own takes a test file", where="--test", got=f"{test} with {dataset}", allowed=allowed
        )
    if NAME.fullmatch(dataset) is None:
        raise InputError(
            "not the name of a set", where="--dataset", got=repr(dataset), allowed="letters, digits, _ . + -"
        )
    folders = _folders(data_dir)
    for folder in folders:
        found = in_folder(dataset, folder / dataset)
        if found:
            return found
    if dataset not in download.known():
        raise _unknown(dataset, folders)
    found = in_folder(dataset, download.fetch(dataset))
    if found is None:
        raise InputError("the download holds no such set", where=download.cache_dir() / dataset, got=dataset)
    return found


def _is_path(dataset: str) -> bool:
    return (
        "/" in dataset
        or "\\" in dataset
        or dataset.lower().endswith(SUFFIXES)
        or ("." in dataset and os.path.isfile(dataset))
    )


def _own_file(dataset: str, test: Path | str | None) -> Found:
    train = _existing(dataset, "--dataset")
    name = re.sub(r"_TRAIN$", "", train.name[: len(train.name) - len(suffix_of(train))], flags=re.IGNORECASE)
    other = None if test is None else _existing(test, "--test")
    if other is not None and other.samefile(train):
        raise InputError(
            "train and test are the same file", where="--test", got=other, allowed="another file than train"
        )
    return Found(name, train, other, one_file=other is None)


def _existing(path: Path | str, option: str) -> Path:
    file = Path(os.path.expanduser(str(path).replace("\0", "?")))
    if file.is_file():
        return file
    inside = file.parent.iterdir() if file.parent.is_dir() else ()
    near = nearest(file.name, sorted(other.name for other in inside if suffix_of(other) in SUFFIXES))
    allowed = f"a file {', '.join(READERS)} (each also .gz), or the bare name of a set"
    fix = f"--data-dir {file.parent} --dataset {file.name}" if file.is_dir() else None
    fix = fix or (f"near: {', '.join(near)}" if near else None)
    raise InputError("no such file", where=option, got=path, allowed=allowed, fix=fix)


def _folders(data_dir: Path | str | None) -> list[Path]:
    given = data_dir or os.environ.get(DATA_DIR)
    folders = [Path(os.path.expanduser(given))] if given else []
    if folders and not folders[0].is_dir():
        where = "--data-dir" if data_dir else f"environment variable {DATA_DIR}"
        raise InputError("no such folder", where=where, got=given, allowed="a folder with one folder per set")
    return [*folders, *inside_aeon(), download.cache_dir()]


def inside_aeon() -> list[Path]:
    """The folder of the sets that aeon carries."""
    spec = importlib.util.find_spec("aeon")  # finds the package without importing it, which takes seconds
    return [Path(root) / "datasets" / "data" for root in (spec.submodule_search_locations or [])] if spec else []


def in_folder(name: str, folder: Path) -> Found | None:
    """The set in its own folder; None where there is no file of it, InputError where only its test part is there."""
    train, test = (list(_parts(folder, name, part)) for part in ("TRAIN", "TEST"))
    if not train and not test:
        return None
    if not train:
        raise InputError(
            "the set has no train part", where=folder, got=[file.name for file in test], allowed=f"{name}_TRAIN.*"
        )
    # One format for both parts where there is one: another format may write the same label in another way.
    formats = {suffix_of(file).removesuffix(".gz") for file in test}
    first = next((file for file in train if suffix_of(file).removesuffix(".gz") in formats), train[0])
    same = [file for file in test if suffix_of(file).removesuffix(".gz") == suffix_of(first).removesuffix(".gz")]
    return Found(name, first, next(iter(same or test), None), one_file=False)


def _parts(folder: Path, name: str, part: str) -> Iterator[Path]:
    return (file for suffix in SUFFIXES if (file := folder / f"{name}_{part}{suffix}").is_file())


def _unknown(name: str, folders: list[Path]) -> InputError:
    here = {
        path.name
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if any(path.glob(f"{path.name}_TRAIN.*"))
    }
    near = nearest(name, sorted(here | set(download.known())))
    return InputError(
        "unknown set",
        where=[*map(str, folders), "aeon's list of downloads"],
        got=name,
        allowed=f"near: {', '.join(near)}" if near else None,
        fix=f"--data-dir FOLDER with FOLDER/{name}/{name}_TRAIN.ts and _TEST.ts, or --dataset FILE for your own file",
    )
