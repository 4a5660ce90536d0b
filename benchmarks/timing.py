"""What every benchmark shares: sides measured in turn, medians, and the table of the result."""

from __future__ import annotations

import os
import platform
import statistics
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

WIDTH = 80
T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One comparison; times are seconds per case.

    Attributes
    ----------
    what : str
        What was measured.
    ours, peer : float
        Medians of both sides over the same cases.
    limit : float
        Median of the part of our work that cannot be left out, measured alone.
    target : float or None
        Ratio that the project promises at least, if it promises one.
    """

    what: str
    ours: float
    peer: float
    limit: float
    target: float | None = None

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer / self.ours

    @property
    def limit_share(self) -> float:
        """Share of our time that the limit takes."""
        return self.limit / self.ours

    def verdict(self) -> str:
        """The ratio beside its target, "137x  ≥ 25x", marked where it falls short."""
        if self.target is None:
            return f"{self.ratio:.1f}x"
        return f"{self.ratio:.1f}x {'≥' if self.ratio >= self.target else 'BELOW'} {self.target:g}x"


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome: `rows` for programs, `table` for people, `how` says what was measured."""

    title: str
    how: str
    rows: tuple[Any, ...]
    table: str

    def __str__(self) -> str:
        return f"{self.title}\n\n{textwrap.fill(self.how, WIDTH)}\n\n{self.table}\n"


def in_turn(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each side returns, `rounds` times: A B A B, so that whatever else the machine does hits all alike."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            found[name].append(measure())
    return found


def medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Median of each side."""
    return {name: statistics.median(values) for name, values in found.items()}


def timed(
    work: Callable[[Any], object],
    parts: Iterable[Any],
    count: Callable[[Any], int] = len,
    clock: Clock = time.perf_counter,
) -> Callable[[], float]:
    """A side for `in_turn`: each call does `work` on the next of `parts` and returns its seconds per case."""
    remaining = iter(parts)

    def measure() -> float:
        part = next(remaining)
        start = clock()
        work(part)
        return (clock() - start) / count(part)

    return measure


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    text = []
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        text.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join([text[0], "─" * len(text[0]), *text[1:]])


def own_clock() -> Clock:
    """Of a comparison of this program with itself: where it computes on one thread of a CPU, seconds of that thread.

    They are lengthened little by other work beside it. A GPU's work, or that of several threads, they do not tell.
    """
    import torch

    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time if alone else time.perf_counter


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """The machine in a line, and whether something else is running on it."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f"; BUSY, load {load:.1f}: trust ratios only" if load > 0.5 * cores() else f"; load {load:.1f}"
    return f"{platform.machine()}, {cores()} cores, {platform.system()}, Python {platform.python_version()}{busy}"
