"""Part: one file of a set as it was read, before any policy; and the text → number step all text formats share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlm_tsc.errors import InputError

MISSING = frozenset(("", "?", "nan", "na", "n/a", "null", "none"))
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """Labelled cases of one file.

    Attributes
    ----------
    path : Path
        Where they were read.
    cases : list of ndarray (n_channels, n_timepoints), float64
        NaN is a missing value; the padding after a shorter series is already cut off.
    labels : list of str
        As written in the file.
    declared : tuple of str
        Classes that the file's header declares, empty when it has none.
    lines : list of int, optional
        Line of each case, counted from 1; None when the format has no lines.
    names : list of str, optional
        What the file calls each case; None when it has no names.
    """

    path: Path
    cases: list[np.ndarray]
    labels: list[str]
    declared: tuple[str, ...] = ()
    lines: list[int] | None = None
    names: list[str] | None = None

    def place(self, case: int, channel: int | None = None, timepoint: int | None = None) -> str:
        """Text that leads a person to a value; channels and timepoints counted from 1, as lines are."""
        words = [str(self.path), f"line {self.lines[case]}" if self.lines else f"case {case + 1}"]
        words += [f"channel {channel + 1}"] if channel is not None else []
        words += [f"timepoint {timepoint + 1}"] if timepoint is not None else []
        return ", ".join(words)


def numbers(cells: Sequence[str], place: str, first_column: int = 1, fix: str | None = None) -> np.ndarray:
    """Cells as float64 `(n,)`, missing ones as NaN.

    `float` rather than pandas or aeon: it rounds exactly, is as fast as pandas' exact parser, and can say which cell is
    wrong (pandas fills ragged rows up in silence; aeon names neither line nor cell).

    Raises
    ------
    InputError
        At the first cell that is no number, naming `place` and the column, of which the first is `first_column`.
    """
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        return np.array([_number(cell, place, first_column + i, fix) for i, cell in enumerate(cells)])


def _number(cell: str, place: str, column: int, fix: str | None) -> float:
    if cell.strip().lower() in MISSING:
        return np.nan
    try:
        return float(cell)
    except ValueError:
        got, allowed = repr(cell.strip()[:40]), "numbers; an empty cell, ? or NaN for a missing value"
        raise InputError("not a number", where=f"{place}, column {column}", got=got, allowed=allowed, fix=fix) from None


def up_to_last_value(case: np.ndarray) -> np.ndarray:
    """`(n_channels, n_timepoints)` without the timepoints at the end at which every channel is NaN.

    A table has one width, so this is how it writes a shorter series: the padding is no missing value.
    """
    known = np.flatnonzero(~np.isnan(case).all(axis=0))
    return case[:, : known[-1] + 1] if len(known) else case[:, :0]


def checked(part: Part, labelled: bool = True, n_channels: int | None = None) -> Part:
    """`part`, if it has cases, every case has a label (if `labelled`), and all have the same number of channels.

    `n_channels` is that of the file's first case where it is in an earlier part.

    Raises
    ------
    InputError
        Naming the file and the line of the first case at fault.
    """
    if not part.cases:
        empty = part.path.stat().st_size == 0
        raise InputError("the file is empty" if empty else "the file holds no case", where=part.path)
    n_channels = n_channels or len(part.cases[0])
    for i, (case, label) in enumerate(zip(part.cases, part.labels, strict=True)):
        if labelled and label.lower() in MISSING:
            raise InputError("a case has no label", where=part.place(i), got=repr(label))
        if len(case) != n_channels:
            got, allowed = f"{len(case)} channels", f"{n_channels}, as in the file's first case"
            raise InputError("cases differ in their number of channels", where=part.place(i), got=got, allowed=allowed)
    return part


def refuse_values_as_labels(part: Part, label_place: str) -> None:
    """Raise InputError when the labels are mostly different fractions: a table of values without a label column."""
    fractions = [label for label in part.labels if NUMBER.fullmatch(label) and not float(label).is_integer()]
    if len(part.labels) > 2 and min(len(fractions), len(set(part.labels))) > len(part.labels) / 2:
        got = ", ".join(part.labels[:3]) + ", …"
        raise InputError(
            "the label column seems to be missing", where=part.path, got=got, allowed=f"a class label {label_place}"
        )
