"""The critical-difference diagram: mean ranks of methods over datasets, joined where no test tells them apart.

aeon draws one too, in black on white with matplotlib; here its numbers are wanted in the page's own colours and fonts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import friedmanchisquare, wilcoxon

from vlm_tsc.report.axes import Axis
from vlm_tsc.report.comparison import Grid

ALPHA = 0.05
LEAST_METHODS = 3  # Friedman's test compares three or more
LEAST_SETS = 6  # of five sets Wilcoxon's test is never significant at 0.05: 2 / 2**5 = 0.0625
_LEFT, _RIGHT, _SCALE_Y, _LINE = 190.0, 450.0, 30.0, 20.0  # the scale and the height of a line, in the drawing's units


@dataclass(frozen=True)
class Ranked:
    """A method: its mean rank, and where its line turns (x, y); names hang on the left or right side."""

    name: str
    rank: float
    x: float
    y: float
    is_left: bool


@dataclass(frozen=True)
class Clique:
    """Methods that no test tells apart, as a bar from x1 to x2."""

    x1: float
    x2: float
    y: float
    names: list[str]


@dataclass(frozen=True)
class RankDiagram:
    """The diagram; `p_friedman`: probability of such ranks if all methods were equally good."""

    axis: Axis
    methods: list[Ranked]
    cliques: list[Clique]
    p_friedman: float
    scale_y: float
    height: float
    n_sets: int


def too_few(table: Grid) -> str | None:
    """Why there is no diagram, for people; None when there can be one."""
    n_methods, n_sets = len(table.complete), len(table.ranked)
    if n_methods >= LEAST_METHODS and n_sets >= LEAST_SETS:
        return None
    return (
        f"A critical-difference diagram needs at least {LEAST_METHODS} methods that have a figure on each of at least "
        f"{LEAST_SETS} datasets; here {n_methods} {'has' if n_methods == 1 else 'have'} one on each of {n_sets}."
    )


def rank_diagram(table: Grid) -> RankDiagram:
    """Friedman's test over all, then Wilcoxon's signed-rank test of every pair with Holm's correction, at 0.05.

    ValueError when there are too few methods or sets, see `too_few`.
    """
    if text := too_few(table):
        raise ValueError(text)
    names = [method.name for method in table.complete]
    ranks = [method.mean_rank or 0.0 for method in table.complete]
    scores = table.scores()
    p_friedman = float(friedmanchisquare(*scores.T).pvalue) if np.ptp(scores, axis=1).any() else 1.0
    alike = np.ones((len(names), len(names)), bool) if p_friedman >= ALPHA else same(scores)
    axis = Axis("mean rank", 1, len(names), _LEFT, _RIGHT, tuple((i, str(i)) for i in range(1, len(names) + 1)))
    groups = cliques(alike)
    top = _SCALE_Y + 12 + 8 * len(groups)
    methods = [_ranked(i, names, ranks, axis, top) for i in range(len(names))]
    bars = [
        Clique(axis.at(ranks[i]) - 3, axis.at(ranks[j]) + 3, _SCALE_Y + 8 * (n + 1), names[i : j + 1])
        for n, (i, j) in enumerate(groups)
    ]
    height = max(method.y for method in methods) + 12
    return RankDiagram(axis, methods, bars, p_friedman, _SCALE_Y, height, len(table.ranked))


def same(scores: np.ndarray) -> np.ndarray:
    """Which pairs no test tells apart: (n_methods, n_methods) bool, symmetric, of accuracies (n_sets, n_methods).

    Holm: the smallest of m p-values must be below 0.05 / m, the next below 0.05 / (m - 1), and so on until one is not.
    """
    pairs = list(combinations(range(scores.shape[1]), 2))
    p_values = [_p(scores[:, i] - scores[:, j]) for i, j in pairs]
    alike = np.ones((scores.shape[1],) * 2, bool)
    for n_done, k in enumerate(np.argsort(p_values)):
        if p_values[k] >= ALPHA / (len(pairs) - n_done):
            break
        i, j = pairs[k]
        alike[i, j] = alike[j, i] = False
    return alike


def _p(differences: np.ndarray) -> float:
    """Two-sided; equal figures on every set are no difference at all (there SciPy would divide by zero)."""
    rounded = np.round(differences, 9)  # 0.9 - 0.8 and 0.8 - 0.7 are one difference, and tie
    if not rounded.any():
        return 1.0
    return float(wilcoxon(rounded).pvalue)  # type: ignore[attr-defined]  # SciPy's result class is made at run time


def cliques(alike: np.ndarray) -> list[tuple[int, int]]:
    """First and last of every longest run of neighbours in rank of whom no pair differs; at least two each."""
    found: list[tuple[int, int]] = []
    for first in range(len(alike)):
        last = first
        while last + 1 < len(alike) and alike[first : last + 2, first : last + 2].all():
            last += 1
        if last > first and not any(last <= end for _, end in found):
            found.append((first, last))
    return found


def _ranked(i: int, names: list[str], ranks: list[float], axis: Axis, top: float) -> Ranked:
    """The better half hangs on the left, best on top; the other half on the right, worst on top: no lines cross."""
    is_left = i < (len(names) + 1) // 2
    level = i if is_left else len(names) - 1 - i
    return Ranked(names[i], ranks[i], axis.at(ranks[i]), top + _LINE * (level + 1), is_left)
