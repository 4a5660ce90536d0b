"""Formats with a header: .ts (aeon, UEA) and .arff (Weka). The label stands last in both.

Not aeon's own loaders: they turn labels to lower case, stop at a blank line, read no gzip and name no line. The tests
compare values with theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vlm_tsc.archive.part import Part, numbers, up_to_last_value
from vlm_tsc.archive.text import numbered_lines
from vlm_tsc.errors import InputError

Lines = Iterator[tuple[int, str]]
Cases = Iterator[tuple[int, np.ndarray, str]]  # line, case, label
NOMINAL = re.compile(r"@attribute\s+.+?\{(.*)\}\s*", re.IGNORECASE)
ARFF_CASE = re.compile(r"(.*),\s*('[^']*'|\"[^\"]*\"|[^,'\"]*)")


def read_ts(path: Path) -> Part:
    """Channels separated by ":", values by ",", the label last; every case may have its own length.

    Raises
    ------
    InputError
        For values with time stamps and for regression targets, besides what any file can have wrong.
    """
    declared, has_label, cases = _ts(path)
    if not has_label:
        raise InputError("the cases have no label", where=path, got="@classLabel false", allowed="@classLabel true")
    return _part(path, cases, declared)


def ts_rows(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(line, case) of a .ts file, without labels: @classLabel may be false, or labels are there and do not count."""
    return ((line, case) for line, case, _ in _ts(path)[2])


def _ts(path: Path) -> tuple[tuple[str, ...], bool, Cases]:
    """Classes that the header declares, whether the cases have labels, and the cases."""
    header, rest = _header(path, _without_comments(path, "#"))
    tags = {words[0].lower(): words[1:] for line in header if (words := line.split())}
    for tag, what in (
        ("@timestamps", "values with time stamps are not read"),
        ("@targetlabel", "regression targets, not classes"),
    ):
        if _says(tags, tag, "true"):
            raise InputError(what, where=path, got=f"{tag} true", allowed=f"{tag} false")
    has_label = not _says(tags, "@classlabel", "false")
    cases = (_ts_case(path, *line, has_label) for line in rest)
    if _says(tags, "@equallength", "true"):
        cases = _of_one_length(path, cases)
    return tuple(tags.get("@classlabel", [])[1:]), has_label, cases


def read_arff(path: Path) -> Part:
    """Values separated by ",", the label last and nominal; several channels as one quoted value, separated by "\\n"."""
    attribute, nominal, cases = _arff(path)
    if nominal is None:
        allowed = "a nominal last attribute, {a,b,c}"
        raise InputError("the label column is missing", where=path, got=attribute[:60], allowed=allowed)
    return _part(path, cases, tuple(map(_unquoted, nominal[1].split(","))))


def arff_rows(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(line, case) of an .arff file, without labels: if the last attribute is nominal, it does not count."""
    return ((line, case) for line, case, _ in _arff(path)[2])


def _arff(path: Path) -> tuple[str, re.Match[str] | None, Cases]:
    """The last attribute, its match where it is nominal, and the cases."""
    header, rest = _header(path, _without_comments(path, "%"))
    attributes = [line for line in header if line.lower().startswith("@attribute")]
    attribute = attributes[-1] if attributes else "no @attribute"
    nominal = NOMINAL.fullmatch(attribute)
    whole = _of_one_length(path, (_arff_case(path, *line, nominal is not None) for line in rest))
    return attribute, nominal, ((line, up_to_last_value(case), label) for line, case, label in whole)


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


def _part(path: Path, cases: Cases, declared: tuple[str, ...]) -> Part:
    lines, X, y = [], [], []
    for line, case, label in cases:
        lines.append(line)
        X.append(case)
        y.append(label)
    return Part(path, X, y, declared, lines)


def _of_one_length(path: Path, cases: Cases) -> Cases:
    n_timepoints = None
    for line, case, label in cases:
        n_timepoints = n_timepoints or case.shape[1]
        if case.shape[1] != n_timepoints:
            got, allowed = f"{case.shape[1]} values", f"{n_timepoints}, as in the first case"
            where = f"{path}, line {line}"
            raise InputError("cases differ in length in a file of equal lengths", where=where, got=got, allowed=allowed)
        yield line, case, label


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
