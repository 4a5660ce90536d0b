"""Which file formats are read, and by what."""

from __future__ import annotations

from pathlib import Path

from vlm_tsc.archive.arrays import read_npz
from vlm_tsc.archive.headed import read_arff, read_ts
from vlm_tsc.archive.part import Part, checked
from vlm_tsc.archive.tables import read_csv, read_tsv, read_txt
from vlm_tsc.errors import InputError

# In the order of preference where a folder holds several: what says most about itself first.
READERS = {".ts": read_ts, ".tsv": read_tsv, ".txt": read_txt, ".arff": read_arff, ".npz": read_npz, ".csv": read_csv}
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
