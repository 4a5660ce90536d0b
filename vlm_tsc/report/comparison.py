"""Several runs beside each other: methods × datasets, and accuracy against time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
from scipy.stats import rankdata

from vlm_tsc.evaluate.published import published
from vlm_tsc.report.axes import Axis, linear_axis, log_axis
from vlm_tsc.report.curves import AREA
from vlm_tsc.report.runs import Row, Run, rows, told_apart
from vlm_tsc.report.table import SAME, duration

KEYS = ("accuracy", "train_seconds", "predict_seconds")
N_LOOKS = 8  # colours and shapes of the scatter plot
_NAMED = 5  # datasets, in a sentence
_CHOICES = 1000  # sets of datasets to rank over that are weighed


@dataclass(frozen=True)
class Entry:
    """One method on one set of test cases.

    `deviation`: over seeds; None for a single run and for what is published. `seconds`: of training and of answering
    the test cases, because a nearest neighbour does all its work in the second. `row`: its runs; None for what is
    published.
    """

    accuracy: float
    deviation: float | None
    seconds: float | None
    row: Row | None = None


@dataclass(frozen=True)
class Method:
    """One column of the table, and what sums it up over the sets that it has figures for."""

    name: str
    is_published: bool
    mean_accuracy: float
    mean_rank: float | None  # None unless every ranked set has a figure of it, see `_block`
    n_sets: int


@dataclass(frozen=True)
class Cases:
    """One row of the table: a dataset, its split, its test cases. `best`: measured accuracy, to the third decimal."""

    dataset: str
    split: str
    n_cases: int
    entries: dict[str, Entry]
    best: float


@dataclass(frozen=True)
class Grid:
    """Method × dataset. `ranked`: the sets that ranks are over, see `_block`."""

    methods: list[Method]
    sets: list[Cases]
    ranked: list[Cases]

    @property
    def complete(self) -> list[Method]:
        """The methods with a figure on every ranked set, the best mean rank first."""
        ranked = [method for method in self.methods if method.mean_rank is not None]
        return sorted(ranked, key=lambda method: method.mean_rank or 0)

    @property
    def ranks_are(self) -> str:
        """What the mean ranks are over and among, a sentence for people."""
        without = [cases.dataset for cases in self.sets if cases not in self.ranked]
        if not without:
            return "Ranks are among the methods, published ones too, that have a figure on every dataset."
        these = ", ".join(without) if len(without) <= _NAMED else f"{len(without)} of the datasets"
        return (
            f"Ranks leave {these} out, and are among the methods, published ones too, that have a figure on each of "
            "the others: of all such choices the one with the most figures."
        )

    def scores(self) -> np.ndarray:
        """Accuracies (n_ranked, n_methods) of the `complete` methods, in their order."""
        return np.array([[cases.entries[method.name].accuracy for method in self.complete] for cases in self.ranked])


def by_split(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Split → its runs, the official one first: figures of different splits are never summed up together."""
    splits = sorted({run["split"] for run in runs}, key=lambda split: (split != "official", split))
    return {split: [run for run in runs if run["split"] == split] for split in splits}


def grid(runs: Sequence[Run]) -> Grid:
    """Group runs by their test cases and, within these, over seeds; add what is published for the same cases.

    Runs of different splits are never in one row.
    """
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run[key] for key in SAME), []).append(run)
    found = [(cases, rows(groups[cases], KEYS)) for cases in sorted(groups)]
    names = told_apart([row for _, group in found for row in group])
    found = [(cases, [replace(row, name=names[id(row)]) for row in group]) for cases, group in found]
    by_kind = sorted((row for _, group in found for row in group), key=lambda row: not row.is_vlm)
    measured = list(dict.fromkeys(row.name for row in by_kind))
    sets = [_cases(*cases, group) for cases, group in found]
    others = dict.fromkeys(name for cases in sets for name in cases.entries if name not in measured)
    ranked, complete = _block(sets, [*measured, *others])
    ranks = _mean_ranks(ranked, complete)
    methods = [_method(name, name in others, sets, ranks.get(name)) for name in (*measured, *others)]
    return Grid(methods, sets, ranked)


def _block(sets: list[Cases], names: list[str]) -> tuple[list[Cases], list[str]]:
    """Sets and methods with a figure of each method on each set: what ranks are over and among.

    Of the sets that any methods have in common, those with the most such figures; of equally many, the most sets. So
    neither does a method lose its rank for one set that it lacks, nor a set for one method that lacks it.
    """
    has = {name: frozenset(i for i, cases in enumerate(sets) if name in cases.entries) for name in names}

    def complete(choice: frozenset[int]) -> list[str]:
        return [name for name in names if choice <= has[name]]

    def worth(choice: frozenset[int]) -> tuple[bool, int, int, list[int]]:
        n_methods = len(complete(choice))
        # a single method compares nothing; the last tells equals apart, whatever the order of a set's members
        return n_methods > 1, n_methods * len(choice), len(choice), sorted(choice)

    choices: set[frozenset[int]] = set()
    for sets_of_one in dict.fromkeys(has.values()):
        choices |= {sets_of_one} | {choice & sets_of_one for choice in choices}
        choices.discard(frozenset())
        if len(choices) > _CHOICES:  # a dozen methods that all lack other sets; the search is no longer exact then
            choices = set(sorted(choices, key=worth)[-_CHOICES:])
    best = max(choices, key=worth)
    return [sets[i] for i in sorted(best)], complete(best)


def _cases(dataset: str, split: str, n_cases: int, group: list[Row]) -> Cases:
    entries = {row.name: _entry(row) for row in group}
    best = max(round(entry.accuracy, 3) for entry in entries.values())
    others = {name: Entry(accuracy, None, None) for name, accuracy in published(dataset, split, n_cases).items()}
    return Cases(dataset, split, n_cases, {**others, **entries}, best)


def _entry(row: Row) -> Entry:
    training, answering = row.figures["train_seconds"], row.figures["predict_seconds"]
    seconds = None if training is None else training + (answering or 0.0)
    return Entry(row.figures["accuracy"] or 0.0, row.deviation, seconds, row)


def _mean_ranks(sets: Sequence[Cases], names: Sequence[str]) -> dict[str, float]:
    """Mean rank over the sets, 1 for the best; equal accuracies share their ranks."""
    ranks = [rankdata([-round(cases.entries[name].accuracy, 6) for name in names]) for cases in sets]
    return dict(zip(names, np.mean(ranks, axis=0).tolist(), strict=True)) if names else {}


def _method(name: str, is_published: bool, sets: Sequence[Cases], rank: float | None) -> Method:
    accuracies = [cases.entries[name].accuracy for cases in sets if name in cases.entries]
    return Method(name, is_published, mean(accuracies), rank, len(accuracies))


@dataclass(frozen=True)
class Mark:
    """One method on one set; `look` numbers its colour and shape."""

    x: float
    y: float
    look: int
    text: str


@dataclass(frozen=True)
class Cost:
    """Accuracy against seconds. `names`: methods in the order of their looks."""

    x: Axis
    y: Axis
    marks: list[Mark]
    names: list[str]


def cost(table: Grid) -> Cost | None:
    """The scatter plot; None when no run says how long it took."""
    timed = [
        (method.name, cases.dataset, entry)
        for method in table.methods
        for cases in table.sets
        if (entry := cases.entries.get(method.name)) and entry.seconds is not None
    ]
    if not timed:
        return None
    left, right, top, bottom = AREA
    x = log_axis("training and answering (s)", [entry.seconds or 0 for *_, entry in timed], left, right)
    y = linear_axis("accuracy", [entry.accuracy for *_, entry in timed], bottom, top)
    names = list(dict.fromkeys(name for name, *_ in timed))
    marks = [
        Mark(x.at(entry.seconds or 0), y.at(entry.accuracy), names.index(name) % N_LOOKS, _says(name, dataset, entry))
        for name, dataset, entry in timed
    ]
    return Cost(x, y, marks, names)


def _says(name: str, dataset: str, entry: Entry) -> str:
    return f"{name} on {dataset}: accuracy {entry.accuracy:.3f}, in {duration(entry.seconds or 0)}"
