"""`series.npz`: the cases of a run as they were loaded, so that training does not depend on the source any more."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_with

PARTS = ("train", "validation", "test")


def write_splits(path: Path, splits: Splits) -> None:
    """Write all parts into one npz without pickle: values of all cases end to end `(n_channels, total)`, lengths."""
    arrays: dict[str, Any] = {"name": np.array(splits.train.name), "split": np.array(splits.split)}
    arrays["class_names"] = np.array(splits.train.class_names, dtype=str)
    for part in PARTS:
        cases: SeriesSet | None = getattr(splits, part)
        if cases is not None:
            arrays[f"{part}_values"] = np.concatenate(list(cases.X), axis=1)
            arrays[f"{part}_lengths"] = cases.lengths
            arrays[f"{part}_y"] = np.array(cases.y, dtype=str)
            arrays[f"{part}_ids"] = np.array(cases.ids, dtype=str)
    write_with(path, lambda file: np.savez(file, **arrays))


def read_splits(path: Path) -> Splits:
    """What `write_splits` wrote.

    Raises
    ------
    InputError
        When the file is missing or broken.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts = {part: _part(arrays, part) for part in PARTS}
            return Splits(**parts, split=str(arrays["split"]))  # type: ignore[arg-type]
    except FileNotFoundError:
        raise InputError("The run has no series yet.", where=path, fix="run dataset.py or train.py first") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            "The run's series cannot be read.", where=path, got=error, fix="run dataset.py again"
        ) from None


def _part(arrays: np.lib.npyio.NpzFile, part: str) -> SeriesSet | None:
    if f"{part}_y" not in arrays:
        return None
    lengths = arrays[f"{part}_lengths"]
    cases = np.split(arrays[f"{part}_values"], np.cumsum(lengths)[:-1], axis=1)
    X = np.stack(cases) if len(set(lengths.tolist())) == 1 else cases
    names = tuple(arrays["class_names"].tolist())
    return SeriesSet(X, arrays[f"{part}_y"], names, str(arrays["name"]), tuple(arrays[f"{part}_ids"].tolist()))
