"""What must be known of every case at once, in a few bytes each: where its row is, its class, its answer, how sure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction, prediction_of
from vlm_tsc.use.explorer.lines import line_starts, read_line

NO_CLASS = -1


@dataclass(frozen=True)
class CaseIndex:
    """An index of predictions.jsonl; whole rows are read on demand.

    Attributes
    ----------
    path : Path
    starts : ndarray (n_cases + 1,), int64
        Bytes at which rows begin, and the end.
    ids : list of str, n_cases long
    row_of : dict of str to int
        The other way round.
    class_names : tuple of str
    true, answered : ndarray (n_cases,), int32
        Classes; NO_CLASS where a generated text named none.
    confidence : ndarray (n_cases,), float32
        Probability of the class that was scored highest.
    """

    path: Path
    starts: np.ndarray
    ids: list[str]
    row_of: dict[str, int]
    class_names: tuple[str, ...]
    true: np.ndarray
    answered: np.ndarray
    confidence: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_right(self) -> np.ndarray:
        """(n_cases,) bool."""
        return self.true == self.answered

    def prediction(self, row: int) -> Prediction:
        """The whole row, checked."""
        text = read_line(self.path, self.starts, row).decode(errors="replace")
        return prediction_of(text, f"{self.path}, line {row + 1}")


def index_cases(path: Path, class_names: Sequence[str], answers: str = "score") -> CaseIndex:
    """Read predictions.jsonl once.

    Parameters
    ----------
    class_names : sequence of str
        All classes, as metrics.json names them.
    answers : {"score", "generate"}
        Which answer counts.

    Raises
    ------
    InputError
        Naming the line that is no prediction, or has an id that came before.
    """
    starts = line_starts(path)
    n_cases, number = len(starts) - 1, {name: i for i, name in enumerate(class_names)}
    true, answered = np.empty(n_cases, np.int32), np.empty(n_cases, np.int32)
    confidence, row_of = np.empty(n_cases, np.float32), {}
    with path.open("rb") as file:
        for row, line in enumerate(file):
            where = f"{path}, line {row + 1}"
            id_, *values = _facts(line, number, answers, where)
            if row_of.setdefault(id_, row) != row:
                raise InputError("Two predictions for one case.", where=where, got=id_)
            true[row], answered[row], confidence[row] = values
    if not n_cases:
        raise InputError("The file of predictions is empty.", where=path, fix="delete it and evaluate again")
    return CaseIndex(path, starts, list(row_of), row_of, tuple(class_names), true, answered, confidence)


def _facts(line: bytes, number: dict[str, int], answers: str, where: str) -> tuple[str, int, int, float]:
    try:
        value: Any = json.loads(line)
        answered = value["parsed"] if answers == "generate" else value["predicted"]
        confidence = float(value["probabilities"][value["predicted"]])
        if not isinstance(value["id"], str) or not -1e-6 <= confidence <= 1 + 1e-6:
            raise ValueError
        return value["id"], number[value["true"]], NO_CLASS if answered is None else number[answered], confidence
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        shown = line[:80].decode(errors="replace").strip() or "an empty line"
        fix = "remove metrics.json and predictions.jsonl and evaluate again: python eval/score.py RUN"
        raise InputError("Not a prediction of this run.", where=where, got=shown, fix=fix) from None
