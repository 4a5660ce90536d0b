"""Formats with a header: .ts (aeon, UEA) and .arff (Weka). The label stands last in both.

Not aeon's own loaders: they turn labels to lower case, stop at a blank line, read no gzip and name no line. The tests
compare values with theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vlm_tsc.archive.part import Part, numbers, up_to_last_value
from vlm_tsc.archive.text import numbered_lines
from vlm_tsc.errors import InputError

Lines = Iterator[tuple[int, str]]
NOMINAL = re.compile(r"@attribute\s+.+?\{(.*)\}\s*", re.IGNORECASE)
ARFF_CASE = re.compile(r"(.*),\s*('[^']*'|\"[^\"]*\"|[^,'\"]*)")


def read_ts(path: Path, labelled: bool = True) -> Part:
    """Channels separated by ":", values by ",", the label last; every case may have its own length.

    With `labelled=False` the header may say @classLabel false; else labels are there and do not count. They are "".

    Raises
    ------
    InputError
        For values with time stamps and for regression targets, besides what any file can have wrong.
    """
    lines = _without_comments(path, "#")
    header, rest = _header(path, lines)
    tags = {words[0].lower(): words[1:] for line in header if (words := line.split())}
    has_label = not _says(tags, "@classlabel", "false")
    for tag, what in (
        ("@timestamps", "values with time stamps are not read"),
        ("@targetlabel", "regression targets, not classes"),
    ):
        if _says(tags, tag, "true"):
            raise InputError(what, where=path, got=f"{tag} true", allowed=f"{tag} false")
    if labelled and not has_label:
        raise InputError("the cases have no label", where=path, got="@classLabel false", allowed="@classLabel true")
    equal = _says(tags, "@equallength", "true")
    declared = tuple(tags.get("@classlabel", [])[1:]) if labelled else ()
    part = _part(path, (_ts_case(path, *line, has_label) for line in rest), declared, equal)
    return part if labelled else _without_labels(part)


def read_arff(path: Path, labelled: bool = True) -> Part:
    """Values separated by ",", the label last and nominal; several channels as one quoted value, separated by "\\n".

    With `labelled=False` the last attribute need not be nominal; if it is, it does not count. Labels are "".
    """
    header, rest = _header(path, _without_comments(path, "%"))
    attributes = [line for line in header if line.lower().startswith("@attribute")]
    nominal = NOMINAL.fullmatch(attributes[-1]) if attributes else None
    if nominal is None and labelled:
        got = attributes[-1][:60] if attributes else "no @attribute"
        raise InputError(
            "the label column is missing", where=path, got=got, allowed="a nominal last attribute, {a,b,c}"
        )
    declared = tuple(map(_unquoted, nominal[1].split(","))) if nominal else ()
    part = _part(path, (_arff_case(path, *line, nominal is not None) for line in rest), declared, True)
    part = Part(path, [up_to_last_value(case) for case in part.cases], part.labels, part.declared, part.lines)
    return part if labelled else _without_labels(part)


def _without_labels(part: Part) -> Part:
    return Part(part.path, part.cases, [""] * len(part.cases), lines=part.lines)


def _says(tags: dict[str, list[str]], tag: str, word: str) -> bool:
    return bool(tags.get(tag)) and tags[tag][0].lower() == word


def _without_comments(path: Path, sign: str) -> Lines:
    return ((number, text) for number, line in numbered_lines(path) if (text := line.strip()) and text[0] != sign)


def _header(path: Path, lines: Lines) -> tuple[list[str], Lines]:
    header = []
    for _, line in lines:
        if line.lower().split()[0] == "@data":
            return header, lines
        if not line.startswith("@"):
            break
        header.append(line)
    if not header and path.stat().st_size == 0:
        raise InputError("the file is empty", where=path)
    raise InputError("the header has no @data line", where=path)


def _part(path: Path, cases: Iterable[tuple[int, np.ndarray, str]], declared: tuple[str, ...], equal: bool) -> Part:
    lines, X, y = [], [], []
    for line, case, label in cases:
        lines.append(line)
        X.append(case)
        y.append(label)
        if equal and case.shape[1] != X[0].shape[1]:
            got, allowed = f"{case.shape[1]} values", f"{X[0].shape[1]}, as in the first case"
            where = f"{path}, line {line}"
            raise InputError("cases differ in length in a file of equal lengths", where=where, got=got, allowed=allowed)
    return Part(path, X, y, declared, lines)


def _ts_case(path: Path, line: int, text: str, has_label: bool) -> tuple[int, np.ndarray, str]:
    if not has_label:
        return line, _case(path, line, text.split(":")), ""
    *channels, label = text.split(":")
    if not channels or "," in label:
        raise InputError(
            "a case has no label", where=f"{path}, line {line}", got="…" + text[-40:], allowed="a last field :label"
        )
    return line, _case(path, line, channels), label.strip()


def _arff_case(path: Path, line: int, text: str, has_label: bool) -> tuple[int, np.ndarray, str]:
    match = ARFF_CASE.fullmatch(text if has_label else f"{text},")  # without a label: one that is empty
    if match is None:
        raise InputError(
            "a case has no label", where=f"{path}, line {line}", got="…" + text[-40:], allowed="values, then ,label"
        )
    values = match[1].strip()
    quoted = values[:1] in ("'", '"')
    return line, _case(path, line, values[1:-1].split("\\n") if quoted else [values]), _unquoted(match[2])


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _case(path: Path, line: int, channels: list[str]) -> np.ndarray:
    rows = [numbers(text.split(","), f"{path}, line {line}, channel {i}") for i, text in enumerate(channels, start=1)]
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        raise InputError("channels of a case differ in length", where=f"{path}, line {line}", got=lengths)
    return np.stack(rows)
