"""What becomes of each class: the confusion matrix, and how often it is answered beside how often it is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlm_tsc.report.finished import FinishedRun

MOST_CLASSES = 60  # that a matrix can show and a person can read
NUMBERED = 16  # classes up to which the number stands in each cell
N_CONFUSIONS = 8
LABEL = 10  # characters of a name in the matrix; all of it is in the tooltip and in the tables
_LETTER = 6.5  # width of a character in the drawing's units


@dataclass(frozen=True)
class Cell:
    """Cases of class `row` that were answered `column`; `share` of all cases of that class."""

    row: int
    column: int
    count: int
    share: float


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix, empty cells left out.

    Attributes
    ----------
    names : list of str
        The classes of the rows and columns.
    cells : list of Cell
    size : float
        Side of a cell in the drawing's units.
    margin : float
        Room for the longest name, left and below.
    has_numbers, is_turned : bool
        Whether the cells are large enough for their number; whether the names of the columns do not fit side by side.
    n_left_out : int
        Classes that are not shown: those with the fewest wrong answers.
    n_right, n_cases : int
        Of all classes.
    """

    names: list[str]
    cells: list[Cell]
    size: float
    margin: float
    has_numbers: bool
    is_turned: bool
    n_left_out: int
    n_right: int
    n_cases: int


@dataclass(frozen=True)
class Confusion:
    """One kind of mistake."""

    true: str
    answered: str
    count: int
    share: float


@dataclass(frozen=True)
class Share:
    """How often a class is true and how often it is answered; widths in per cent of the longest bar."""

    name: str
    n_true: int
    n_answered: int
    true_width: float
    answered_width: float


def matrix(run: FinishedRun) -> Matrix:
    """The confusion matrix of metrics.json, of at most 60 classes."""
    counts = np.array(run.metrics["confusion_matrix"])
    names = run.metrics["class_names"]
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = sorted(np.argsort(-wrong, kind="stable")[:MOST_CLASSES].tolist())
    totals = np.maximum(_true_counts(run), 1)  # with the cases whose text named no class
    cells = [
        Cell(i, j, int(counts[row, column]), float(counts[row, column] / totals[row]))
        for i, row in enumerate(kept)
        for j, column in enumerate(kept)
        if counts[row, column]
    ]
    size = round(max(10.0, min(64.0, 270 / len(kept))), 1)
    longest = _LETTER * max(min(len(names[i]), LABEL) for i in kept)
    return Matrix(
        names=[names[i] for i in kept],
        cells=cells,
        size=size,
        margin=14 + longest,
        has_numbers=len(kept) <= NUMBERED,
        is_turned=longest > size - 6,
        n_left_out=len(names) - len(kept),
        n_right=int(counts.trace()),
        n_cases=run.metrics["n_cases"],
    )


def confusions(run: FinishedRun) -> list[Confusion]:
    """The most frequent mistakes, at most eight, the commonest first."""
    counts = np.array(run.metrics["confusion_matrix"])
    names, totals = run.metrics["class_names"], np.maximum(_true_counts(run), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:N_CONFUSIONS]
    pairs = [divmod(int(flat), len(names)) for flat in order]
    found = [(i, j, int(counts[i, j])) for i, j in pairs if counts[i, j]]
    return [Confusion(names[i], names[j], n, n / totals[i]) for i, j, n in found]


def shares(run: FinishedRun) -> tuple[list[Share], int]:
    """True and answered counts of at most 60 classes, in the dataset's order, and the number of classes left out.

    Kept are the classes whose two counts differ most.
    """
    names, true = run.metrics["class_names"], _true_counts(run)
    answered = [run.metrics["prediction_histogram"].get(name, 0) for name in names]
    gap = np.abs(np.array(true) - np.array(answered))
    kept = sorted(np.argsort(-gap, kind="stable")[:MOST_CLASSES].tolist())
    longest = max(*true, *answered, 1)
    found = [Share(names[i], true[i], answered[i], 100 * true[i] / longest, 100 * answered[i] / longest) for i in kept]
    return found, len(names) - len(kept)


def majority_share(run: FinishedRun) -> float:
    """The share of the commonest class: what answering it always would score."""
    return max(_true_counts(run)) / run.metrics["n_cases"]


def _true_counts(run: FinishedRun) -> Sequence[int]:
    counts = Counter(row.true for row in run.predictions)
    return [counts[name] for name in run.metrics["class_names"]]
