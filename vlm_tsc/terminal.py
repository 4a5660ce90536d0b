"""What a command says and where: to a person, quietly, or as one JSON document for a script; and how far it is.

A terminal is one for the whole process, so what was asked of it is too. Nothing is coloured.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from tqdm import tqdm

from vlm_tsc.errors import InputError, exits_cleanly
from vlm_tsc.options import COMMON, Option

WIDTH = 80
DELAY = 2.0  # seconds that a step takes before its progress is shown

_HELP = {
    "quiet": "Print only errors and the final table.",
    "json": "Print one JSON document, for scripts, on stdout; everything else goes to stderr.",
}
OPTIONS = {name: Option(name, "terminal", text, "", "nothing", "off", True) for name, text in _HELP.items()}


@dataclass
class _Voice:
    quiet: bool = False
    json: bool = False
    document: dict[str, Any] = field(default_factory=dict)


_voice = _Voice()


def speaks(main: Callable[[list[str]], int | None]) -> Callable[..., int]:
    """Make an entry point's `main(argv)` end as `exits_cleanly` says, and take `--quiet` and `--json` off its words.

    With `--json` the keyword arguments of all calls of `answer` are the document; on an error it holds "error" too.
    """

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        global _voice
        given = list(sys.argv[1:] if argv is None else argv)
        words = [word for word in given if word not in ("--quiet", "--json")]
        asks_help = bool({"-h", "--help"} & set(words))
        voice = _Voice("--quiet" in given and not asks_help, "--json" in given and not asks_help)
        before, _voice = _voice, voice
        stdout = sys.stdout
        COMMON.update(OPTIONS)
        try:
            with contextlib.ExitStack() as stack:
                if voice.json:
                    stack.enter_context(_stdout_to_stderr())
                if voice.quiet:
                    stack.enter_context(_no_warnings())
                    stack.enter_context(contextlib.redirect_stderr(cast(Any, _NoTerminal(sys.stderr))))
                code = exits_cleanly(functools.partial(_noting, main, voice))(words)
        finally:  # also of an error that nobody foresaw: a script gets a document whatever happens
            _voice = before
            COMMON.clear()
            if voice.json and is_first():
                print(json.dumps(voice.document, indent=1, ensure_ascii=False, default=str), file=stdout, flush=True)
        return code

    return wrapped


def _noting(main: Callable[[list[str]], int | None], voice: _Voice, words: list[str]) -> int | None:
    try:
        return main(words)
    except (InputError, OSError, KeyboardInterrupt) as error:
        voice.document["error"] = str(error) or type(error).__name__
        raise
    except Exception as error:
        voice.document["error"] = f"{type(error).__name__}: {error}"
        raise


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Also for what writes to the descriptor itself, such as a compiler."""
    if sys.stdout is not sys.__stdout__:  # somebody captures it already
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


class _NoTerminal:
    """stderr for errors alone: libraries that draw bars on a terminal find none."""

    def __init__(self, stream: Any):
        self._stream = stream

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def is_first() -> bool:
    """Whether this process speaks: under a launcher only the first rank does."""
    return int(os.environ.get("RANK", "0")) == 0


def say(text: str) -> None:
    """Print for a person who watches."""
    if is_first() and not _voice.quiet:
        print(text, flush=True)


def said(lines: list[str]) -> list[str]:
    """Say lines, and give them back for the document."""
    for line in lines:
        say(line)
    return lines


def show(text: str) -> None:
    """Print what a command is run for: the final table. `--quiet` keeps it, and `--quiet --json` does not."""
    if is_first() and not (_voice.quiet and _voice.json):
        print(text, flush=True)


def note(text: str) -> None:
    """Print a line about how far something is, on stderr."""
    if is_first() and not _voice.quiet:
        print(text, file=sys.stderr, flush=True)


def answer(**parts: Any) -> None:
    """Add to the JSON document; lists of the same name are joined."""
    for name, value in parts.items():
        known = _voice.document.get(name)
        _voice.document[name] = [*known, *value] if isinstance(known, list) else value


def shows_progress() -> bool:
    """Whether a person watches and wants to know."""
    return sys.stderr.isatty() and is_first() and not _voice.quiet


def bar(
    steps: Iterable[Any] | None = None,
    label: str | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    unit: str = "it",
    shown: bool = True,
    **options: Any,
) -> tqdm[Any]:
    """A progress bar with the time left, of what takes more than two seconds, for a person at a terminal.

    Parameters
    ----------
    steps : iterable, optional
        What is gone through; without it the caller calls `update`.
    shown : bool
        False never shows it.
    """
    hidden = not (shown and shows_progress())
    given: dict[str, Any] = {"delay": DELAY, "leave": False, "ncols": WIDTH, **options}
    return tqdm(steps, desc=label, total=total, initial=initial, unit=unit, disable=hidden, **given)


@contextlib.contextmanager
def working(label: str) -> Iterator[None]:
    """Within, a terminal shows what is done and for how long, once that is over two seconds.

    For a step that is one call of a library: nobody can tell how long it still takes.
    """
    if not shows_progress():
        yield
        return
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(label, done, time.monotonic()), daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()


def _tick(label: str, done: threading.Event, started: float) -> None:
    waits, text = DELAY, ""
    while not done.wait(waits):
        text = f"{label}: {time.monotonic() - started:.0f} s"[: WIDTH - 1]
        sys.stderr.write(f"\r{text}")
        sys.stderr.flush()
        waits = 1.0
    if text:
        sys.stderr.write(f"\r{' ' * len(text)}\r")
        sys.stderr.flush()
