"""Lines of a text file, plain or gzipped, with their numbers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from vlm_tsc.errors import InputError

BROKEN_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number counted from 1, line without its end) of every line that is not blank, whatever the line endings.

    Raises
    ------
    InputError
        When the file is no UTF-8 text or a broken gzip.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        # utf-8-sig: Excel writes a byte-order mark, which would become part of the first label
        with opener(path, "rt", encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except BROKEN_GZIP as error:
        raise InputError("the gzip file is broken", where=path, got=error) from error
    except UnicodeDecodeError as error:
        raise InputError("the file is not text", where=path, got=error.reason, allowed="UTF-8") from error
