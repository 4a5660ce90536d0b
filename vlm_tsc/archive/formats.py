"""Which file formats are read, and by what."""

from __future__ import annotations

from pathlib import Path

from vlm_tsc.archive.arrays import read_npz
from vlm_tsc.archive.headed import read_arff, read_ts
from vlm_tsc.archive.part import Part, checked
from vlm_tsc.archive.samples import is_sample_table, read_samples
from vlm_tsc.archive.tables import read_csv, read_tsv, read_txt, read_values
from vlm_tsc.errors import InputError


def _read_either_csv(path: Path) -> Part:
    return read_samples(path) if is_sample_table(path) else read_csv(path)


# In the order of preference where a folder holds several: what says most about itself first.
READERS = {".ts": read_ts, ".tsv": read_tsv, ".txt": read_txt, ".arff": read_arff, ".npz": read_npz}
READERS[".csv"] = _read_either_csv
SUFFIXES = tuple(suffix + gz for suffix in READERS for gz in ("", ".gz"))


def suffix_of(path: Path) -> str:
    """The format's suffix in lower case, with ".gz" where compressed, e.g. ".ts.gz"; of a foreign file what it has."""
    name = path.name.lower()
    return next((suffix for suffix in reversed(SUFFIXES) if name.endswith(suffix)), path.suffix.lower())


def read(path: Path) -> Part:
    """Read one file of labelled series, chosen by its name's end.

    Raises
    ------
    InputError
        When the format is not known, or the file is empty, broken or inconsistent; names the line where there is one.
    """
    reader = READERS.get(suffix_of(path).removesuffix(".gz"))
    if reader is None:
        raise InputError(
            "no known format",
            where=path,
            got=path.suffix or "no ending",
            allowed=", ".join(READERS) + ", each also .gz",
        )
    return checked(reader(path))


def read_unlabelled(path: Path) -> Part:
    """Read a .csv (or .csv.gz) of series without labels: values alone, or the headed layout, whose y_* do not count.

    Raises
    ------
    InputError
        As `read`.
    """
    if suffix_of(path).removesuffix(".gz") != ".csv":
        raise InputError("no table of series", where=path, got=path.suffix or "no ending", allowed=".csv, .csv.gz")
    if is_sample_table(path):
        return checked(read_samples(path, labelled=False), labelled=False)
    return checked(read_values(path), labelled=False)
