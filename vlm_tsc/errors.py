"""The one way this project refuses an input: what, where, got, allowed; exit code 2; no traceback."""

from __future__ import annotations

import difflib
import errno
import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

EXIT_BAD_INPUT = 2


class InputError(Exception):
    """A user's input that cannot be used.

    Parameters
    ----------
    what : str
        One sentence that says what is wrong.
    where : str, optional
        The option, file (with line number) or setting at fault.
    got : object, optional
        What was received.
    allowed : object, optional
        What would have been accepted: a text, or an iterable of names.
    fix : str, optional
        What to do or type next.
    """

    def __init__(self, what: str, *, where: Any = None, got: Any = None, allowed: Any = None, fix: str | None = None):
        lines = [what]
        for name, value in (("where", where), ("got", got), ("allowed", allowed), ("fix", fix)):
            if value is not None:
                lines.append(f"  {name + ':':<9}{_as_text(value)}")
        super().__init__("\n".join(lines))


def _as_text(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ", ".join(str(item) for item in value)


def nearest(word: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The up to `n` names of `known` that look most like `word`, best first; case does not count."""
    by_lower = {name.lower(): name for name in known}
    return [by_lower[name] for name in difflib.get_close_matches(word.lower(), list(by_lower), n=n, cutoff=0.5)]


def exits_cleanly(main: Callable[..., int | None]) -> Callable[..., int]:
    """Make an entry point's `main(argv)` print an InputError and return 2; `--debug` in argv keeps the traceback."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        argv = sys.argv[1:] if argv is None else argv
        try:
            return main(argv) or 0
        except InputError as error:
            if "--debug" in argv:
                raise
            print(f"error: {error}", file=sys.stderr)
            return EXIT_BAD_INPUT
        except OSError as error:  # unwritable folder, full disk: the system's own words, without a traceback
            if "--debug" in argv or (error.filename is None and error.errno is None):
                raise
            print(f"error: {error.strerror}\n  where:   {error.filename or 'unknown'}", file=sys.stderr)
            if error.errno == errno.ENOSPC:
                print("  fix:     make room and run the same command again; what is finished is kept", file=sys.stderr)
            return EXIT_BAD_INPUT
        except KeyboardInterrupt:
            print("stopped; run the same command again to go on from here", file=sys.stderr)
            return 130

    return wrapped
