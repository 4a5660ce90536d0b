"""Series without labels, for predicting: every format of `formats.READERS`, without its column of labels.

All but .npz are streamed, so that a file's size does not matter: a case is a row, or in a .csv with the columns sample
and feature, rows that follow each other. An .npz is bounded by what wrote it, and is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from vlm_tsc.archive.arrays import read_npz
from vlm_tsc.archive.formats import READERS, suffix_of
from vlm_tsc.archive.headed import arff_rows, ts_rows
from vlm_tsc.archive.part import Part, checked
from vlm_tsc.archive.samples import is_sample_table, sample_rows
from vlm_tsc.archive.tables import rows, text_separator, value_rows
from vlm_tsc.errors import InputError

# Suffix → what separates the cells of a row.
TABLES: dict[str, Callable[[Path], str | None]] = {
    ".csv": lambda path: ",",
    ".tsv": lambda path: "\t",
    ".txt": text_separator,
}
HEADED: dict[str, Callable[[Path], Iterator[tuple[int, np.ndarray]]]] = {".ts": ts_rows, ".arff": arff_rows}


def table_width(path: Path) -> int | None:
    """Cells of the first row of a table that has one case a row and no header; None for any other format.

    Raises
    ------
    InputError
        When there is no such file, its format is not known, or it is empty.
    """
    suffix = _suffix(path)
    if not _is_table(path, suffix):
        return None
    _, cells = next(rows(path, TABLES[suffix](path)), (0, []))
    if not cells:
        checked(Part(path, [], []))
    return len(cells)


def unlabelled_parts(path: Path, n_cases: int) -> Iterator[Part]:
    """The cases of a file in its order, `n_cases` at a time; those of an .npz all at once.

    Parameters
    ----------
    path : Path
        A file without labels. Labels that a header names (.ts, .arff, y_* columns) or `y` of an .npz do not count.
    n_cases : int
        Cases of each Part that is streamed; only one Part is held.

    Yields
    ------
    Part
        With `labels` all "".

    Raises
    ------
    InputError
        As `formats.read`; also where the rows of a sample do not follow each other.
    """
    suffix = _suffix(path)
    if suffix == ".npz":
        yield checked(read_npz(path, labelled=False), labelled=False)
        return
    cases, n_channels = _cases(path, suffix), None
    while (chunk := list(islice(cases, n_cases))) or n_channels is None:
        lines, names = [line for line, _, _ in chunk], [name for _, name, _ in chunk if name is not None]
        part = Part(path, [case for _, _, case in chunk], [""] * len(chunk), lines=lines, names=names or None)
        yield checked(part, labelled=False, n_channels=n_channels)
        n_channels = n_channels or len(part.cases[0])


def _cases(path: Path, suffix: str) -> Iterator[tuple[int, str | None, np.ndarray]]:
    """(line, name if the file has names, case) of a format that is streamed."""
    if suffix in HEADED:
        return ((line, None, case) for line, case in HEADED[suffix](path))
    if _is_table(path, suffix):
        return ((line, None, case) for line, case in value_rows(path, TABLES[suffix](path)))
    return sample_rows(path)


def _suffix(path: Path) -> str:
    if not path.is_file():
        raise InputError("there is no such file", where="--input", got=path)
    suffix = suffix_of(path).removesuffix(".gz")
    if suffix not in READERS:
        allowed = ", ".join(READERS) + ", each also .gz"
        raise InputError("no known format", where=path, got=path.suffix or "no ending", allowed=allowed)
    return suffix


def _is_table(path: Path, suffix: str) -> bool:
    return suffix in TABLES and not (suffix == ".csv" and is_sample_table(path))
