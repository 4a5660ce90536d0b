"""The headed .csv layout of the newer SageMaker algorithms: columns sample, feature, y_*, x_*; one channel a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vlm_tsc.archive.part import Part, numbers, up_to_last_value
from vlm_tsc.archive.tables import rows
from vlm_tsc.archive.text import numbered_lines
from vlm_tsc.errors import InputError

KEYS = ("sample", "feature")
LAYOUT = "sample, feature, y_… (the class), x_… (the values), in any order"


class _Row(NamedTuple):
    line: int
    sample: str
    feature: str
    label: str
    values: np.ndarray


@dataclass
class _Sample:
    """The rows of one sample, or those of them that were read."""

    name: str
    line: int
    label: str
    channels: dict[str, np.ndarray] = field(default_factory=dict)
    last: int = 0  # line


def is_sample_table(path: Path) -> bool:
    """Whether the first line names a column `sample`; a headerless file has a class and numbers there."""
    first = next((line for _, line in numbered_lines(path)), "")
    names = [cell.strip().strip('"').lower() for cell in first.split(",")]
    return "sample" in names and "feature" in names


def n_value_columns(path: Path) -> int:
    """How many x_* columns the header names; a longest series need not fill them."""
    line, header = next(rows(path, ","), (1, []))
    return len(_columns([cell.strip().lower() for cell in header], f"{path}, line {line}", False)[1])


def read_samples(path: Path, labelled: bool = True) -> Part:
    """Cases `(n_channels, n_timepoints)`: the rows of equal `sample`, channels in the order of the first sample's rows.

    The class is what the one y_* column says; of several, the one that holds a 1, by what follows "y_" in its name.
    With `labelled=False` y_* columns may be missing, are not read, and labels are "".

    Raises
    ------
    InputError
        For columns missing or unknown, a row that is there twice, or samples with different features; with the line.
    """
    samples: dict[str, _Sample] = {}
    for row in _rows(path, labelled):
        _add(path, samples.setdefault(row.sample, _Sample(row.sample, row.line, row.label)), row)
    features = list(next(iter(samples.values())).channels) if samples else []
    cases = [_case(path, sample, features) for sample in samples.values()]
    labels, lines = [one.label for one in samples.values()], [one.line for one in samples.values()]
    return Part(path, cases, labels, lines=lines, names=list(samples))


def sample_rows(path: Path) -> Iterator[tuple[int, str, np.ndarray]]:
    """(line, name, case) of every sample of a table without labels; only one sample is held.

    The rows of a sample must follow each other. A name that comes again when its sample was whole is another case.

    Raises
    ------
    InputError
        As `read_samples`, and where the rows of a sample are apart.
    """
    features: list[str] = []
    for name, group in groupby(_rows(path, False), key=attrgetter("sample")):
        first = next(group)
        sample = _Sample(name, first.line, first.label)
        for row in chain([first], group):
            _add(path, sample, row)
        features = features or list(sample.channels)
        if set(sample.channels) != set(features):
            _refuse_rows_apart(path, sample)
        yield sample.line, name, _case(path, sample, features)


def _rows(path: Path, labelled: bool) -> Iterator[_Row]:
    table = rows(path, ",")
    line, header = next(table, (1, []))
    names = [cell.strip().lower() for cell in header]
    y, x = _columns(names, f"{path}, line {line}", labelled)
    keys = [names.index(key) for key in KEYS]
    for line, cells in table:
        place = f"{path}, line {line}"
        sample, feature = (cells[i].strip() for i in keys)
        label = _label({names[i]: cells[i].strip() for i in y}, place) if labelled else ""
        yield _Row(line, sample, feature, label, numbers([cells[i] for i in x], place, first_column=x[0] + 1))


def _add(path: Path, sample: _Sample, row: _Row) -> None:
    place = f"{path}, line {row.line}"
    if row.feature in sample.channels:
        got = f"sample {row.sample}, {row.feature}"
        raise InputError("a feature of a sample is there twice", where=place, got=got)
    if row.label != sample.label:
        raise InputError("a sample has two classes", where=place, got=f"{sample.label} and {row.label}")
    sample.channels[row.feature] = row.values
    sample.last = row.line


def _refuse_rows_apart(path: Path, sample: _Sample) -> None:
    """Raise InputError when other rows of this sample are elsewhere, for which the table is read again."""
    others = (row.line for row in _rows(path, False) if row.sample == sample.name)
    apart = next((line for line in others if not sample.line <= line <= sample.last), None)
    if apart is not None:
        got, fix = f"sample {sample.name} in lines {sample.line} and {apart}", "sort the table by its column sample"
        raise InputError("the rows of a sample do not follow each other", where=path, got=got, fix=fix)


def _columns(names: list[str], place: str, labelled: bool) -> tuple[list[int], list[int]]:
    """Positions of the columns of classes and of values."""
    y = [i for i, name in enumerate(names) if name.startswith("y_") or name == "y"]
    x = [i for i, name in enumerate(names) if name.startswith("x_")]
    others = [name for i, name in enumerate(names) if i not in (*y, *x) and name not in KEYS]
    if others or len(set(names)) < len(names):
        got = ", ".join(others) or "a name that is there twice"
        raise InputError("unknown columns", where=place, got=got, allowed=LAYOUT)
    if not x or (labelled and not y):
        raise InputError("columns are missing", where=place, got=f"no {'y_…' if x else 'x_…'}", allowed=LAYOUT)
    return y, x


def _label(cells: dict[str, str], place: str) -> str:
    if len(cells) == 1:
        return next(iter(cells.values()))
    ones = [name.removeprefix("y_") for name, cell in cells.items() if cell in ("1", "1.0")]
    zeros = [name for name, cell in cells.items() if cell in ("0", "0.0")]
    if len(ones) != 1 or len(zeros) != len(cells) - 1:
        got = ", ".join(f"{name}={cell}" for name, cell in cells.items())
        allowed = "one y_… column with the class, or several with a single 1 and zeros"
        raise InputError("a case must have exactly one class", where=place, got=got, allowed=allowed)
    return ones[0]


def _case(path: Path, sample: _Sample, features: list[str]) -> np.ndarray:
    if set(sample.channels) != set(features):
        where = f"{path}, line {sample.line}, sample {sample.name}"
        raise InputError("samples differ in their features", where=where, got=list(sample.channels), allowed=features)
    return up_to_last_value(np.stack([sample.channels[feature] for feature in features]))
