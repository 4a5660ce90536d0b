"""Cases as the pages show them: a card of a gallery, and all of one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlm_tsc.conversation.prompt import IMAGE_MARKER
from vlm_tsc.conversation.records import Record, images_of, texts_of
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction
from vlm_tsc.report.cases import Bar, bars_of
from vlm_tsc.report.runs import base_name
from vlm_tsc.use.explorer.opened import OpenRun, Runs, shown_name
from vlm_tsc.use.explorer.paths import run_names

MOST_BARS = 12


@dataclass(frozen=True)
class Listed:
    """A run of the first page. `problem` says why it cannot be opened; the figures are then empty."""

    name: str
    shown: str
    dataset: str
    method: str = ""
    split: str = ""
    seed: Any = ""
    n_cases: int = 0
    accuracy: float | None = None
    blank: float | None = None
    problem: str = ""


def listed_runs(runs: Runs) -> list[Listed]:
    """Every run below the folder, the broken ones too; only their metrics.json is read."""
    return [_listed(runs, name) for name in run_names(runs.root)]


def _listed(runs: Runs, name: str) -> Listed:
    from vlm_tsc.evaluate.metrics import read_metrics
    from vlm_tsc.report.facts import name_of
    from vlm_tsc.report.finished import check_finished
    from vlm_tsc.use.explorer.paths import run_of

    shown, dataset = shown_name(runs.root, name), name.rpartition("/")[0]
    try:
        run = run_of(runs.root, name)
        check_finished(run)
        m = read_metrics(run.metrics)
        facts = (m["split"], m["seed"], int(m["n_cases"]), float(m["accuracy"]))
        return Listed(name, shown, m["dataset"], name_of(m), *facts, m.get("accuracy_blank_image"))
    except InputError as error:
        return Listed(name, shown, dataset, problem=str(error))
    except (OSError, KeyError, TypeError, ValueError) as error:
        return Listed(name, shown, dataset, problem=f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Card:
    """A case in a gallery.

    Attributes
    ----------
    row : int
        Its place in the index.
    id, true : str
    answered : str or None
        None where the generated text named no class.
    confidence : float
        Of the class that was scored highest.
    n_pictures : int
    problem : str
        Why its pictures cannot be shown.
    """

    row: int
    id: str
    true: str
    answered: str | None
    confidence: float
    n_pictures: int
    problem: str = ""

    @property
    def is_right(self) -> bool:
        return self.answered == self.true


def card(run: OpenRun, row: int) -> Card:
    """The card of a row: from the index, but for its pictures' number, which its record tells."""
    index = run.index
    answered = index.class_names[index.answered[row]] if index.answered[row] >= 0 else None
    record, problem = record_of(run, row)
    n_pictures = len(images_of(record)) if record else 0
    sure = float(index.confidence[row])
    return Card(row, index.ids[row], index.class_names[index.true[row]], answered, sure, n_pictures, problem)


def cards(run: OpenRun, rows: Sequence[int]) -> list[Card]:
    return [card(run, row) for row in rows]


def record_of(run: OpenRun, row: int) -> tuple[Record | None, str]:
    """The record of a row, None for a baseline or where it cannot be read; then also why."""
    if run.presentation is None:
        return None, ""
    try:
        return run.record(row), ""
    except (InputError, OSError) as error:
        return None, str(error)


@dataclass(frozen=True)
class Sheet:
    """All of one case: its card, its row of predictions.jsonl, its bars, its prompt and the lead of its answer."""

    card: Card
    prediction: Prediction
    bars: list[Bar]
    rest: tuple[int, float]
    prompt: str | None
    lead: str
    size: tuple[int, int]

    @property
    def typed(self) -> str:
        """The prompt without its lines of pictures, for a field to write in."""
        text = self.prompt or ""
        while text.startswith(IMAGE_MARKER):
            text = text.removeprefix(IMAGE_MARKER).removeprefix("\n")
        return text


def sheet(run: OpenRun, row: int) -> Sheet:
    """One case; InputError when its row is broken."""
    prediction = run.index.prediction(row)
    bars, rest = bars_of(run, prediction, MOST_BARS)
    record, _ = record_of(run, row)
    prompt, lead = texts_of(record) if record else (None, "")
    size = run.presentation.size if run.presentation else (0, 0)
    return Sheet(card(run, row), prediction, bars, rest, prompt, lead, size)


def facts_of(run: OpenRun) -> str:
    """What an accuracy may not stand without, in a line."""
    m = run.metrics
    base = f"base {base_name(m['base'])}, " if m.get("base") else ""
    right = int(run.index.is_right.sum())
    return (
        f"{m['split'].capitalize()} split, {base}seed {m['seed']}: {right:,} of {len(run.index):,} test cases right, "
        f"accuracy {m['accuracy']:.3f}."
    )
