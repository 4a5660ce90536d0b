"""Atomic writes: a reader, or a run that was killed, sees the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOTHING_LEFT = 1 << 16  # bytes


@contextmanager
def full_disk_named(folder: Path | str) -> Iterator[None]:
    """Within, a library's own exception for a full disk becomes an OSError that names `folder`.

    safetensors puts the system's words into a SafetensorError; torch.save only says that its writer failed.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        found = [number for number in _FULL if os.strerror(number) in str(error)]
        if not found and "StreamWriter" in str(error) and shutil.disk_usage(folder).free < _NOTHING_LEFT:
            found = [errno.ENOSPC]
        if not found:
            raise
        raise OSError(found[0], os.strerror(found[0]), str(folder)) from error


def write_with(path: Path | str, write: Callable[[BinaryIO], Any], *, sync: bool = True) -> Path:
    """Call `write(file)` on a temporary file beside `path`, then rename it to `path`.

    `sync=False` spares the disk a flush per file, for thousands of small ones that can be made again: whole after a
    killed process, perhaps not after a power cut.

    Raises
    ------
    OSError
        With `filename` set, when the folder cannot be written or the disk is full; the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes 0600, which other members of a team could not read
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_bytes(path: Path | str, data: bytes, *, sync: bool = True) -> Path:
    """Write `data` atomically."""
    return write_with(path, lambda file: file.write(data), sync=sync)


def write_text(path: Path | str, text: str) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> Path:
    """Write `value` as JSON with one space of indent, sorted only where the caller sorted it, atomically."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
