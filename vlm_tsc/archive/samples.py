"""The headed .csv layout of the newer SageMaker algorithms: columns sample, feature, y_*, x_*; one channel a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vlm_tsc.archive.part import Part, numbers, up_to_last_value
from vlm_tsc.archive.tables import rows
from vlm_tsc.archive.text import numbered_lines
from vlm_tsc.errors import InputError

KEYS = ("sample", "feature")
LAYOUT = "sample, feature, y_… (the class), x_… (the values), in any order"


@dataclass
class _Sample:
    """The rows of one sample."""

    line: int
    label: str
    channels: dict[str, np.ndarray] = field(default_factory=dict)


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
    table = rows(path, ",")
    line, header = next(table, (1, []))
    names = [cell.strip().lower() for cell in header]
    y, x = _columns(names, f"{path}, line {line}", labelled)
    samples: dict[str, _Sample] = {}
    for line, cells in table:
        place = f"{path}, line {line}"
        sample, feature = (cells[names.index(key)].strip() for key in KEYS)
        label = _label({names[i]: cells[i].strip() for i in y}, place) if labelled else ""
        found = samples.setdefault(sample, _Sample(line, label))
        if feature in found.channels:
            raise InputError("a feature of a sample is there twice", where=place, got=f"sample {sample}, {feature}")
        if label != found.label:
            raise InputError("a sample has two classes", where=place, got=f"{found.label} and {label}")
        found.channels[feature] = numbers([cells[i] for i in x], place, first_column=x[0] + 1)
    cases = [_case(path, name, sample, samples) for name, sample in samples.items()]
    labels, lines = [one.label for one in samples.values()], [one.line for one in samples.values()]
    return Part(path, cases, labels, lines=lines, names=list(samples))


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


def _case(path: Path, name: str, sample: _Sample, samples: dict[str, _Sample]) -> np.ndarray:
    features = next(iter(samples.values())).channels
    if set(sample.channels) != set(features):
        where = f"{path}, line {sample.line}, sample {name}"
        raise InputError("samples differ in their features", where=where, got=sample.channels, allowed=features)
    return up_to_last_value(np.stack([sample.channels[feature] for feature in features]))
