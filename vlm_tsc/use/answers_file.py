"""A file of answers that grows by whole chunks, and beside it a note of what it is and how far it is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json


@dataclass
class AnswersFile:
    """The file, and its note `<file>.json`.

    A chunk is first appended and flushed to the disk, then noted. What a killed process left behind the noted size is
    cut by the next chunk, so the file ends as it would have without the interruption.

    Attributes
    ----------
    path : Path
    facts : dict of str to str
        What determines the content.
    cases, size : int
        Cases answered, and bytes written, so far.
    is_finished : bool
    """

    path: Path
    facts: dict[str, str]
    cases: int = 0
    size: int = 0
    is_finished: bool = False

    @classmethod
    def open(cls, path: Path, facts: Mapping[str, str], names: Mapping[str, Any]) -> AnswersFile:
        """A file to go on with, or a new one, which is noted but not written yet.

        Parameters
        ----------
        facts : mapping of str to str
            What determines the content; "input" and "run" are hashes.
        names : mapping
            What a person calls the same things, for the message.

        Raises
        ------
        InputError
            When a file is there that is of something else, or that somebody changed; also in the place of the note.
        """
        made = cls(path, dict(facts))
        if path.is_dir():
            raise InputError("this is a folder", where="--output", got=path, allowed="a file")
        noted = _read_note(made.note)
        if not path.exists():
            if noted is None and made.note.exists():
                what, fix = "the note of this file would replace one that is there", "another --output"
                raise InputError(what, where=made.note, got="not written by this command", fix=fix)
            made._write_note()
            return made
        if noted is None:
            raise _refused("this file is there already", path, "not written by this command")
        other = [name for name in facts if noted["facts"].get(name) != facts[name]]
        if other:
            got = ", ".join(f"another {name} than {names.get(name, facts[name])}" for name in other)
            raise _refused("this file holds the answers of something else", path, got)
        size = path.stat().st_size
        if size < noted["size"] or (noted["is_finished"] and size != noted["size"]):
            raise _refused("this file was changed", path, f"{size} bytes, {noted['size']} were written")
        return cls(path, dict(facts), noted["cases"], noted["size"], noted["is_finished"])

    @property
    def note(self) -> Path:
        return Path(f"{self.path}.json")

    def append(self, text: str, n_cases: int) -> None:
        """Add a chunk durably."""
        data = text.encode()
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(self.size)
            file.truncate()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.size += len(data)
        self.cases += n_cases
        self._write_note()

    def finish(self) -> None:
        """Note that this is all."""
        self.is_finished = True
        self._write_note()

    def _write_note(self) -> None:
        values = {"facts": self.facts, "cases": self.cases, "size": self.size, "is_finished": self.is_finished}
        write_json(self.note, values)


def _read_note(path: Path) -> dict[str, Any] | None:
    """The note, None when there is none that this command wrote."""
    try:
        noted = json.loads(path.read_bytes())
        whole = isinstance(noted["facts"], dict) and isinstance(noted["is_finished"], bool)
        return noted if whole and all(isinstance(noted[key], int) for key in ("cases", "size")) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refused(what: str, path: Path, got: str) -> InputError:
    return InputError(what, where=f"--output {path}", got=got, fix=f"another --output, or remove {path}")
