"""Series without labels, for predicting: every format of `formats.READERS`, without its column of labels.

A table with one case a row (.csv, .tsv, .txt) is streamed, so that its size does not matter. The other formats are read
whole: the rows of a sample may stand anywhere in a headed .csv, and .npz and .arff are bounded by what wrote them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from vlm_tsc.archive.arrays import read_npz
from vlm_tsc.archive.formats import READERS, suffix_of
from vlm_tsc.archive.headed import read_arff, read_ts
from vlm_tsc.archive.part import Part, checked
from vlm_tsc.archive.samples import is_sample_table, read_samples
from vlm_tsc.archive.tables import rows, text_separator, value_rows
from vlm_tsc.errors import InputError

# Suffix → what separates the cells of a row.
TABLES: dict[str, Callable[[Path], str | None]] = {
    ".csv": lambda path: ",",
    ".tsv": lambda path: "\t",
    ".txt": text_separator,
}
WHOLE: dict[str, Callable[[Path], Part]] = {
    ".ts": partial(read_ts, labelled=False),
    ".arff": partial(read_arff, labelled=False),
    ".npz": partial(read_npz, labelled=False),
    ".csv": partial(read_samples, labelled=False),
}


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
    """The cases of a file in its order: of a streamed table `n_cases` at a time, of another format all at once.

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
        As `formats.read`.
    """
    suffix = _suffix(path)
    if not _is_table(path, suffix):
        yield checked(WHOLE[suffix](path), labelled=False)
        return
    table = value_rows(path, TABLES[suffix](path))
    while chunk := list(islice(table, n_cases)):
        yield Part(path, [case for _, case in chunk], [""] * len(chunk), lines=[line for line, _ in chunk])


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
