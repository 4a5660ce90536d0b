"""What a request brings as cases, and what goes back as its answer: text/csv and application/json."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.formats import read_unlabelled
from vlm_tsc.archive.part import Part
from vlm_tsc.archive.policies import Lengths, Missing
from vlm_tsc.archive.samples import is_sample_table
from vlm_tsc.archive.text import numbered_lines
from vlm_tsc.errors import InputError
from vlm_tsc.use.trained import Trained

CSV, JSON = "text/csv", "application/json"
TYPES = (CSV, JSON)
OUTPUTS = ("labels", "probabilities")
BODY = "the request's body"
FIELDS = ("instances", "output")
CASE = "a case is a list of numbers, or a list of channels, each a list of equally many numbers"


@dataclass(frozen=True)
class Expected:
    """What a model takes: channels, and timepoints of the longest case of its run; None where it does not say.

    `missing` and `lengths` are the run's policies, see `archive.policies`: a series that came under one in training
    comes under it here.
    """

    n_channels: int | None = None
    n_timepoints: int | None = None
    missing: Missing = "error"
    lengths: Lengths = "keep"

    @classmethod
    def of(cls, trained: Trained) -> Expected:
        """What a saved classifier takes."""
        return cls(trained.n_channels, trained.longest, trained.missing, trained.lengths)

    def prepared(self, part: Part) -> list[np.ndarray]:
        """The part's cases under the policies; under "keep" of any length."""
        known = Trained(self.n_channels, None, self.n_timepoints, self.missing, self.lengths)
        return known.prepared(part, any_length=True)

    def takes_columns(self, n_columns: int) -> bool:
        """Whether a table of one case a row can have so many."""
        if self.n_timepoints is None or self.lengths == "resample":
            return True
        return n_columns == self.n_timepoints or (self.lengths == "pad" and n_columns < self.n_timepoints)


@dataclass(frozen=True)
class Payload:
    """Cases `(n_channels, n_timepoints)` of finite numbers, and which output the body itself asks for, if it does."""

    cases: list[np.ndarray]
    output: str | None = None


def read_payload(body: bytes, content_type: str, expected: Expected) -> Payload:
    """The cases of a request.

    Parameters
    ----------
    body : bytes
        text/csv: a case a row, values alone; or the headed layout with columns sample, feature, x_*.
        application/json: `{"instances": [case, ...], "output": "labels" | "probabilities"}`, or the list alone.
    content_type : {"text/csv", "application/json"}
    expected : Expected
        A row of values must have as many columns as the longest training case, its last cells empty where a case is
        shorter: one column more is a table with its labels. The other forms say themselves what is a value. Where the
        run pads there may be fewer columns, where it resamples any number.

    Raises
    ------
    InputError
        For a body that cannot be read, a value that is missing or infinite, or cases that the model does not take.
    """
    if not body.strip():
        raise InputError("there is nothing to classify", where=BODY, got="no content")
    part, output = (_csv(body, expected), None) if content_type == CSV else _json(body)
    if expected.missing == "error":
        _refuse_missing(part)
    cases = replace(expected, n_channels=expected.n_channels or len(part.cases[0])).prepared(part)
    return Payload(cases, output)


def _csv(body: bytes, expected: Expected) -> Part:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.csv"  # the archive's readers, and their messages, are about files
        path.write_bytes(body)
        try:
            if not is_sample_table(path):
                _check_columns(path, expected)
            return replace(read_unlabelled(path), path=Path(BODY))
        except InputError as error:
            raise InputError(str(error).replace(str(path), BODY)) from None


def _check_columns(path: Path, expected: Expected) -> None:
    n_timepoints = expected.n_timepoints
    line, text = next(numbered_lines(path))
    got = text.count(",") + 1
    if n_timepoints is not None and not expected.takes_columns(got):
        fix = "send the values alone, without the label" if got == n_timepoints + 1 else None
        what, allowed = "the table does not fit the model", f"{n_timepoints}, the values of a training case"
        raise InputError(what, where=f"{path}, line {line}", got=f"{got} columns", allowed=allowed, fix=fix)


def _json(body: bytes) -> tuple[Part, str | None]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # broken, not UTF-8, or nested without end
        raise InputError("the body is no JSON", where=BODY, got=str(error)) from None
    given = content if isinstance(content, dict) else {"instances": content}
    unknown = [name for name in given if name not in FIELDS]
    if unknown:
        raise InputError("unknown fields", where=BODY, got=[repr(name[:40]) for name in unknown], allowed=FIELDS)
    instances = given.get("instances")
    if not isinstance(instances, list) or not instances:
        got = "nothing" if not instances else type(instances).__name__
        raise InputError("there are no cases", where=f"{BODY}, instances", got=got, allowed=f"a list of cases; {CASE}")
    cases = [_case(one, f"{BODY}, case {i}") for i, one in enumerate(instances, start=1)]
    return Part(Path(BODY), cases, [""] * len(cases)), given.get("output")


def _case(value: Any, place: str) -> np.ndarray:
    channels = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    rows = [_row(row, f"{place}, channel {i}") for i, row in enumerate(channels, start=1)]
    if len({len(row) for row in rows}) > 1:
        raise InputError("channels of a case differ in length", where=place, got=[len(row) for row in rows])
    return np.stack(rows)


def _row(row: Any, place: str) -> np.ndarray:
    if not isinstance(row, list):
        raise InputError("this is no series", where=place, got=type(row).__name__, allowed=CASE)
    if set(map(type, row)) - {int, float, type(None)}:
        at = next(i for i, value in enumerate(row) if type(value) not in (int, float, type(None)))
        where = f"{place}, timepoint {at + 1}"
        raise InputError("not a number", where=where, got=repr(row[at])[:40], allowed="numbers")
    try:
        return np.array([np.nan if value is None else value for value in row], dtype=np.float64)
    except OverflowError:
        raise InputError("a number is too large", where=place, allowed="numbers of at most 1.8e308") from None


def _refuse_missing(part: Part) -> None:
    for i, case in enumerate(part.cases):
        if np.isnan(case).any():
            channel, timepoint = np.argwhere(np.isnan(case))[0]
            where = part.place(i, channel, timepoint)
            raise InputError("a value is missing", where=where, got="none", allowed="a number at every timepoint")


def refuse_unanswered(probabilities: np.ndarray, names: Sequence[str] = (), place: Any = BODY) -> None:
    """Raise InputError where the model's answer is not a number: values beyond what it computes with.

    Parameters
    ----------
    probabilities : ndarray (n_cases, n_classes)
    names : sequence of str, optional
        Of the cases; else they are counted from 1.
    place
        What they came in.
    """
    lost = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(lost):
        name = names[lost[0]] if names else lost[0] + 1
        what, where = "the model has no answer: values are too large for it", f"{place}, case {name}"
        raise InputError(what, where=where, allowed="values of the size that it was trained on")


def write_answer(probabilities: np.ndarray, classes: Sequence[Any], content_type: str, output: str) -> str:
    """The answer's text, cases in their order.

    Parameters
    ----------
    probabilities : ndarray (n_cases, n_classes)
    classes : sequence
        Labels, text or numbers, of the columns.
    content_type : {"text/csv", "application/json"}
    output : {"labels", "probabilities"}
        CSV: a label a line, or a header of the classes and their probabilities below it. JSON: `labels`; with the
        probabilities also `classes` and `probabilities`.
    """
    labels = [classes[i] for i in probabilities.argmax(axis=1)]
    if content_type == JSON:
        more = {"classes": list(classes), "probabilities": probabilities.tolist()} if output != "labels" else {}
        return json.dumps({"labels": labels, **more}, ensure_ascii=False)
    text = io.StringIO()
    rows = [[label] for label in labels] if output == "labels" else [list(classes), *probabilities.tolist()]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def accepted(accept: str, content_type: str) -> tuple[str, str | None] | None:
    """What an Accept header wants: a type of `TYPES` and its `output` parameter; None when it wants none of them.

    Where it leaves the choice, the answer has the type of the request.
    """
    ranges = sorted(map(_media_range, accept.split(",")), key=lambda one: -one[0])  # stable: the first of equals
    for quality, wanted, output in ranges:
        for kind in (content_type, *TYPES):
            if quality > 0 and wanted in ("*/*", kind, kind.split("/")[0] + "/*"):
                return kind, output
    return None


def _media_range(text: str) -> tuple[float, str, str | None]:
    kind, *parameters = (part.strip() for part in text.split(";"))
    values = {
        name.strip().lower(): value.strip().strip('"') for name, _, value in (p.partition("=") for p in parameters)
    }
    try:
        quality = float(values.get("q", "1"))
    except ValueError:
        quality = 0.0
    return quality, kind.lower(), values.get("output")
