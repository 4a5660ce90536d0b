"""Ask a finished run's model about its test records, and write predictions.jsonl and metrics.json."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vlm_tsc.answer.ask import ask, ask_views
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Shown
from vlm_tsc.conversation.rationale import named_label, split_answer
from vlm_tsc.conversation.records import Record, images_of, texts_of
from vlm_tsc.evaluate.predictions import Prediction, predictions_of
from vlm_tsc.representation.png import read_png


class RecordedCases(Sequence[Shown]):
    """Records on disk as shown cases; pictures are read when a case is asked for.

    Of an answer only what stands before the class is shown: the rationale, which does not depend on the class.
    """

    def __init__(self, records: Sequence[Record], folder: Path, blank: bool = False):
        self.records, self.folder, self.is_blank = records, folder, blank

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        record = self.records[index]
        shown = Shown([read_png(self.folder / name) for name in images_of(record)], *texts_of(record))
        return shown.blank() if self.is_blank else shown

    def texts(self, index: int) -> Shown:
        """A case without its pictures, which are not read."""
        return Shown([], *texts_of(self.records[index]))


@dataclass(frozen=True)
class Evaluated:
    """Predictions of every test case as recorded and with blank pictures (None without pictures), and the seconds."""

    predictions: list[Prediction]
    blank: list[Prediction] | None
    seconds: float


def evaluate_records(
    model: Any,
    processor: Any,
    records: Sequence[Record],
    folder: Path,
    answer_map: AnswerMap,
    *,
    batch_size: int,
    precision: torch.dtype,
    more_views: Sequence[Sequence[Shown]] = (),
    progress: bool = True,
) -> Evaluated:
    """Score and generate for every record, then score again with the pictures blanked.

    Parameters
    ----------
    records, folder
        Conversations, and where their pictures' paths begin. Where their answers have a rationale, a written answer
        must have one too.
    more_views : sequence of sequences of Shown
        Other views of the same cases. Over all views scores are averaged, and written answers vote for the class they
        name, those that name none for none; of the class that wins, the first view's text is kept.
    """
    started = time.monotonic()
    options = {"batch_size": batch_size, "precision": precision}
    named = functools.partial(named_label, answer_map, explained=bool(texts_of(records[0])[1]))
    asked = ask_views(
        model,
        processor,
        [RecordedCases(records, folder), *more_views],
        answer_map.answers,
        meaning=named,  # rationales differ between views, and so do two ways of writing no answer
        generate=True,
        progress=_label(progress, "test"),
        **options,
    )
    seconds = time.monotonic() - started
    ids = [record["id"] for record in records]
    truth = [_label_of(record, answer_map) for record in records]
    names = answer_map.class_names
    generated = asked.generated or [None] * len(ids)
    predictions = [
        replace(prediction, generated=text, parsed=named(text or ""))
        for prediction, text in zip(predictions_of(ids, truth, asked.probabilities, names), generated, strict=True)
    ]
    blank = None
    if images_of(records[0]):
        first = {texts_of(record): record for record in records}  # without values, all are alike
        cases = RecordedCases(list(first.values()), folder, blank=True)
        asked = ask(model, processor, cases, answer_map.answers, progress=_label(progress, "blank"), **options)
        row = {texts: i for i, texts in enumerate(first)}
        rows = [row[texts_of(record)] for record in records]
        blank = predictions_of(ids, truth, asked.probabilities[rows], names)
    return Evaluated(predictions, blank, seconds)


def _label(progress: bool, text: str) -> str | None:
    return text if progress else None


def _label_of(record: Record, answer_map: AnswerMap) -> str:
    label = answer_map.label_of(split_answer(record["conversations"][1]["value"])[1])
    assert label is not None  # read_records has checked the answers
    return label
