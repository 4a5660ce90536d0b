"""Lines of a large file, found by their place in bytes: a row is read when it is shown, and no other."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlm_tsc.conversation.records import Record, record_problems
from vlm_tsc.errors import InputError

_CHUNK = 1 << 22  # bytes looked through at once
_ID = re.compile(rb'^\{"id": ("(?:[^"\\]|\\.)*")')


def line_starts(path: Path) -> np.ndarray:
    """Where every line begins, in bytes, and last where the file ends: (n_lines + 1,) int64."""
    found, offset = [np.zeros(1, np.int64)], 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.append(np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + offset + 1)
            offset += len(chunk)
    starts = np.concatenate(found)
    return starts if starts[-1] == offset else np.append(starts, offset)


def read_line(path: Path, starts: np.ndarray, number: int) -> bytes:
    """Line `number`, counted from 0, without its end."""
    with path.open("rb") as file:
        file.seek(int(starts[number]))
        return file.read(int(starts[number + 1] - starts[number])).rstrip(b"\r\n")


@dataclass(frozen=True)
class Records:
    """The records of test.json, one a line as `write_records` writes them, read one by one."""

    path: Path

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """As `line_starts`; the first line is "[", so that record i stands on line i + 1."""
        return line_starts(self.path)

    def record(self, row: int, case_id: str) -> Record:
        """The record of a case: that of its row in predictions.jsonl, unless the files are in another order.

        Raises
        ------
        InputError
            When there is none, or it is faulty.
        """
        if not self.path.is_file():
            raise InputError("The records are missing.", where=self.path, fix="run dataset.py again")
        item = self._item(row + 1)
        if item is None or item.get("id") != case_id:
            item = self._item(self._lines.get(case_id, -1))
        if item is None:
            what = "This case has no record, or the records are not one a line."
            raise InputError(what, where=self.path, got=case_id, fix="run dataset.py again")
        if problems := record_problems(item):
            raise InputError(f"A record is faulty: {problems[0]}.", where=f"{self.path} ({case_id})")
        return item

    @functools.cached_property
    def _lines(self) -> dict[str, int]:
        """Line of every id; needed only where the order is another."""
        with self.path.open("rb") as file:
            found = [(number, _ID.match(line)) for number, line in enumerate(file)]
        return {json.loads(match[1]): number for number, match in found if match}

    def _item(self, number: int) -> Record | None:
        if not 0 <= number < len(self.starts) - 1:
            return None
        try:
            item = json.loads(read_line(self.path, self.starts, number).rstrip(b","))
        except (ValueError, RecursionError):
            return None
        return item if isinstance(item, dict) else None
