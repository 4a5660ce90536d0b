"""The series that are measured: real sets where they are at hand, else random walks of the same shape."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vlm_tsc.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

# name → (train cases, test cases, points); two classes each
SHAPES: Mapping[str, tuple[int, int, int]] = {
    "TwoLeadECG": (23, 1139, 82),
    "HandOutlines": (160, 369, 2709),
    "GunPoint": (50, 150, 150),
}


@dataclass(frozen=True)
class Source:
    """How `--dataset` and its options name a set, and what to call it in a table."""

    dataset: str
    options: tuple[str, ...]
    description: str


def source_of(name: str, folder: Path, *, real: bool = True) -> Source:
    """The set `name` from the data folder, or random walks of its shape written to `folder`."""
    root = data_folder(name) if real else None
    if root is not None:
        return Source(name, ("--data-dir", str(root)), name)
    n_train, n_test, length = SHAPES[name]
    return walks_of(folder, name, n_train, n_test, length)


def walks_of(folder: Path, name: str, n_train: int, n_test: int, length: int) -> Source:
    """Random walks of two classes as a user's own train and test file in `folder`."""
    paths = []
    for part, n_cases in (("TRAIN", n_train), ("TEST", n_test)):
        path = folder / f"{name}Walks_{part}.npz"
        X = walks(n_cases, length, seed=len(part))
        np.savez(path, X=X, y=np.array(["1", "2"])[np.arange(n_cases) % 2])
        paths.append(path)
    described = f"walks shaped as {name}"
    return Source(str(paths[0]), ("--test", str(paths[1])), described)


def walks(n_cases: int, length: int, seed: int = 0) -> np.ndarray:
    """Random walks, each of mean 0 and standard deviation 1: (n_cases, 1, length)."""
    X = np.random.default_rng(seed).normal(size=(n_cases, 1, length)).cumsum(axis=2)
    return (X - X.mean(axis=2, keepdims=True)) / X.std(axis=2, keepdims=True)


def data_folder(name: str) -> Path | None:
    """The folder in which the set `name` has a folder of its own, where it is at hand."""
    roots = [Path(path) for path in (os.environ.get("VLM_TSC_DATA"), ROOT.parent / "shared" / "data" / "ucr") if path]
    folders = [folder for root in roots for folder in (root, root / "incomplete")]
    return next((folder for folder in folders if (folder / name).is_dir()), None)


def settings_for(dataset: str, **values: Any) -> Settings:
    """Settings of the set `dataset`, read from the data folder where it is at hand, with further `values`."""
    from vlm_tsc.config import settings_from

    folder = data_folder(dataset)
    return settings_from({"dataset": dataset, **({} if folder is None else {"data_dir": folder}), **values})
