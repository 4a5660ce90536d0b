"""NumPy archives, .npz: arrays `X` and `y`."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np

from vlm_tsc.archive.part import Part, up_to_last_value
from vlm_tsc.archive.text import BROKEN_GZIP
from vlm_tsc.errors import InputError

SHAPES = "(n_cases, n_channels, n_timepoints) or (n_cases, n_timepoints)"


def read_npz(path: Path, labelled: bool = True) -> Part:
    """`X` numbers `(n_cases, n_channels, n_timepoints)` or `(n_cases, n_timepoints)`, `y` `(n_cases,)` text or numbers.

    With `labelled=False` `y` may be missing, is not read, and labels are "".

    Raises
    ------
    InputError
        Also for arrays of Python objects: they are pickles, which can run code when they are read.
    """
    X, y = _arrays(path, labelled)
    if X.ndim == 2:
        X = X[:, np.newaxis]
    if X.ndim != 3 or X.dtype.kind not in "biuf":
        raise InputError(
            "X is no collection of series", where=path, got=f"{X.dtype} {X.shape}", allowed=f"numbers {SHAPES}"
        )
    if y is None:
        y = np.full(len(X), "")
    if y.shape != X.shape[:1] or y.dtype.kind not in "biufUS":
        raise InputError(
            "y is no list of labels", where=path, got=f"{y.dtype} {y.shape}", allowed=f"text or numbers {X.shape[:1]}"
        )
    cases = [up_to_last_value(case) for case in X.astype(np.float64)]
    return Part(path, cases, [str(label).strip() for label in y.astype(str)])


def _arrays(path: Path, labelled: bool) -> tuple[np.ndarray, np.ndarray | None]:
    wanted = ("X", "y") if labelled else ("X",)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
        if not data:
            raise InputError("the file is empty", where=path)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if not set(wanted) <= set(arrays.files):
                raise InputError("an array is missing", where=path, got=arrays.files, allowed=wanted)
            return arrays["X"], arrays["y"] if labelled else None
    except BROKEN_GZIP as error:
        raise InputError("the gzip file is broken", where=path, got=error) from error
    except (ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:  # a lone .npy has no `files`
        fix = "np.savez(path, X=X, y=y) with plain arrays; unequal lengths end in NaN"
        raise InputError("the file is no .npz of plain arrays", where=path, got=error, fix=fix) from error
