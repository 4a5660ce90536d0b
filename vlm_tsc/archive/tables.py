"""Tables with one case a row, the label first: .tsv, .txt, .csv without a header line. Univariate by nature."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vlm_tsc.archive.part import Part, numbers, refuse_values_as_labels, up_to_last_value
from vlm_tsc.archive.text import numbered_lines
from vlm_tsc.errors import InputError


def read_tsv(path: Path) -> Part:
    """UCR 2018 form: values separated by tabs."""
    return _read(path, "\t")


def read_csv(path: Path) -> Part:
    """Values separated by commas; a label that holds a comma stands in double quotes."""
    return _read(path, ",")


def read_txt(path: Path) -> Part:
    """UCR text of any year: separated by tabs, commas or runs of spaces, as the first line shows."""
    return _read(path, text_separator(path))


def text_separator(path: Path) -> str | None:
    """What separates the cells of a .txt: a tab or a comma, if one is in the first line; else None, runs of spaces."""
    first = next((line for _, line in numbered_lines(path)), "")
    return next((separator for separator in "\t," if separator in first), None)


def _read(path: Path, separator: str | None) -> Part:
    cases: list[np.ndarray] = []
    labels: list[str] = []
    lines: list[int] = []
    for line, cells in rows(path, separator):
        fix = "the file has no header line, and the label is the first column" if not lines else None
        values = numbers(cells[1:], f"{path}, line {line}", first_column=2, fix=fix)
        cases.append(up_to_last_value(values[np.newaxis]))
        labels.append(cells[0].strip())
        lines.append(line)
    part = Part(path, cases, labels, lines=lines)
    refuse_values_as_labels(part, "in the first column")
    return part


def read_values(path: Path) -> Part:
    """A .csv of values alone, without a label column; labels are ""."""
    lines, cases = [], []
    for line, case in value_rows(path, ","):
        lines.append(line)
        cases.append(case)
    return Part(path, cases, [""] * len(cases), lines=lines)


def value_rows(path: Path, separator: str | None) -> Iterator[tuple[int, np.ndarray]]:
    """(line, case `(1, n_timepoints)`) of every row of a table of values alone; only one row is held."""
    fix: str | None = "a table of values alone has no header line and no column of labels"
    for line, cells in rows(path, separator):
        yield line, up_to_last_value(numbers(cells, f"{path}, line {line}", fix=fix)[np.newaxis])
        fix = None


def rows(path: Path, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank, all with equally many cells."""
    width = None
    for line, text in numbered_lines(path):
        cells = _quoted_cells(text, separator, path, line) if separator and '"' in text else text.split(separator)
        width = width or len(cells)
        if len(cells) < 2:
            separators = {"\t": "tabs", ",": "commas", None: "tabs, commas or spaces"}
            allowed = f"a label and at least 2 values, separated by {separators[separator]}"
            raise InputError(
                "a row without values", where=f"{path}, line {line}", got=repr(text.strip()[:40]), allowed=allowed
            )
        if len(cells) != width:
            raise InputError(
                "rows differ in their number of cells",
                where=f"{path}, line {line}",
                got=f"{len(cells)} cells",
                allowed=f"{width}, as in the first row",
                fix="fill a shorter series up with empty cells or NaN at its end",
            )
        yield line, cells


def _quoted_cells(text: str, separator: str, path: Path, line: int) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError("a row's quotes do not match", where=f"{path}, line {line}", got=error) from error
