"""The gallery: which test cases are shown, and each as the model received it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.records import Record, images_of, read_records, record_problems, texts_of
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction
from vlm_tsc.report.finished import FinishedRun

N_WRONG, N_RIGHT = 16, 8  # at most so many are shown
N_BARS = 5
PICTURE_BYTES = 3_000_000  # of all pictures together: the page must stay one that can be mailed


@dataclass(frozen=True)
class Bar:
    """The probability of one class. `code`: the answer's letters, empty for a baseline."""

    code: str
    label: str
    probability: float
    is_true: bool
    is_answer: bool


@dataclass(frozen=True)
class ShownCase:
    """One case of the gallery.

    Attributes
    ----------
    id, true : str
    answered : str or None
        None where the generated text named no class.
    confidence : float
        Probability of the class that `score` chose.
    generated : str or None
        What the model wrote by itself.
    pictures : list of str
        The PNG files of `images/`, byte for byte, as data URIs.
    size : (int, int)
        Width and height of each picture in pixels.
    prompt : str or None
        The human turn of test.json; None for a baseline.
    lead : str
        What stood before the class when it was scored: the measured rationale, else nothing.
    bars : list of Bar
        The likeliest classes, and the true one wherever it stands.
    rest : (int, float)
        Number and summed probability of the classes without a bar.
    """

    id: str
    true: str
    answered: str | None
    confidence: float
    generated: str | None
    pictures: list[str]
    size: tuple[int, int]
    prompt: str | None
    lead: str
    bars: list[Bar]
    rest: tuple[int, float]

    @property
    def is_right(self) -> bool:
        return self.answered == self.true


def gallery(run: FinishedRun) -> list[ShownCase]:
    """At most 24 cases: wrong ones first, the most confident of them at the top; then right ones.

    Raises
    ------
    InputError
        When a case has no record, or its picture is missing or broken.
    """
    records = _records(run)
    shown: list[ShownCase] = []
    n_bytes = 0
    for row in chosen_cases(run):
        case = _shown(run, row, _record_of(run, row, records) if run.presentation else None)
        n_bytes += sum(map(len, case.pictures))
        if shown and n_bytes > PICTURE_BYTES:
            break
        shown.append(case)
    return shown


def chosen_cases(run: FinishedRun) -> list[Prediction]:
    """The most confident wrong cases, then right ones: one half the most confident, one half the least."""
    by_confidence = sorted(run.predictions, key=lambda row: -_confidence(row))  # stable: equal ones by their place
    wrong = [row for row in by_confidence if run.answer(row) != row.true]
    right = [row for row in by_confidence if run.answer(row) == row.true]
    least = right[N_RIGHT // 2 :][-N_RIGHT // 2 :]
    return wrong[:N_WRONG] + right[: N_RIGHT // 2] + least


def _confidence(row: Prediction) -> float:
    return row.probabilities[row.predicted]


def _records(run: FinishedRun) -> dict[str, Record]:
    return {record["id"]: record for record in read_records(run.folder.test)} if run.presentation else {}


def _record_of(run: FinishedRun, row: Prediction, records: dict[str, Record]) -> Record:
    if row.id not in records:
        what = "A predicted case has no record."
        raise InputError(what, where=run.folder.test, got=row.id, fix=f"python eval/score.py {run.folder.path}")
    problems = record_problems(records[row.id], images_in=run.folder.path)
    if problems:
        raise InputError(f"A record is faulty: {problems[0]}.", where=f"{run.folder.test} ({row.id})", fix=run.command)
    return records[row.id]


def _shown(run: FinishedRun, row: Prediction, record: Record | None) -> ShownCase:
    names = images_of(record) if record else []
    prompt, lead = texts_of(record) if record else (None, "")
    bars, rest = bars_of(run, row)
    return ShownCase(
        id=row.id,
        true=row.true,
        answered=run.answer(row),
        confidence=_confidence(row),
        generated=row.generated,
        pictures=[_data_uri(run.folder.path / name) for name in names],
        size=run.presentation.size if run.presentation else (0, 0),
        prompt=prompt,
        lead=lead,
        bars=bars,
        rest=rest,
    )


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


class Answering(Protocol):
    """What is known of the run that a prediction belongs to."""

    @property
    def presentation(self) -> Presentation | None: ...

    def answer(self, row: Prediction) -> str | None: ...


def bars_of(run: Answering, row: Prediction, most: int = N_BARS) -> tuple[list[Bar], tuple[int, float]]:
    """The likeliest classes and the true one; number and summed probability of the others."""
    ranked = sorted(row.probabilities.items(), key=lambda item: -item[1])
    kept = ranked[:most] + [item for item in ranked[most:] if item[0] == row.true]
    codes = _codes(run.presentation, list(row.probabilities))
    bars = [Bar(codes[name], name, value, name == row.true, name == run.answer(row)) for name, value in kept]
    return bars, (len(ranked) - len(kept), max(0.0, 1 - sum(value for _, value in kept)))


def _codes(presentation: Presentation | None, names: Sequence[str]) -> dict[str, str]:
    if presentation is None:
        return dict.fromkeys(names, "")
    answer_map = presentation.builder.answer_map
    return dict(zip(answer_map.class_names, answer_map.answers, strict=True))
