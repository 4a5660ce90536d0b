"""Diagrams of a comparison as PNG: aeon's two of ranks and pairs, and accuracy against time."""

from __future__ import annotations

import io
import warnings
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_tsc.files import write_bytes
from vlm_tsc.report.ranks import ALPHA
from vlm_tsc.report.table import cut

if TYPE_CHECKING:
    from vlm_tsc.report.comparison import Grid

_DPI = 200
_LONGEST = 40  # characters of a name
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00"]  # Okabe and Ito's


def draw_critical_differences(table: Grid, path: Path) -> Path:
    """Mean ranks, and bars over methods that one-sided Wilcoxon tests with Holm's correction do not tell apart at 0.05.

    aeon's way to the bars, by a control method each, differs from the page's, which compares every pair.
    """
    from aeon.visualisation import plot_critical_difference

    labels = [cut(method.name, _LONGEST) for method in table.complete]
    beside = 0.5 + max(map(len, labels)) / 8  # inches for the names on either side of a scale of 4
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*have the same performance")  # they share their ranks
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)  # where all of them are equal
        width = 4 + 2 * beside
        figure = plot_critical_difference(table.scores(), labels, alpha=ALPHA, width=width, textspace=beside)[0]
    return _written(figure, path)


def draw_pairwise(table: Grid, path: Path) -> Path | None:
    """aeon's multi-comparison matrix: of every pair mean difference, wins, ties and losses, and Wilcoxon's p-value.

    Of methods that are equal on every set, the first alone; None, and no picture, where all of them are.
    """
    import pandas as pd
    from aeon.visualisation import create_multi_comparison_matrix
    from matplotlib import pyplot

    scores = pd.DataFrame(table.scores(), columns=[method.name for method in table.complete])
    same = scores.T.round(9).duplicated()  # aeon's test of two methods that agree on every set is no number, and fails
    scores = scores.loc[:, ~same.to_numpy()]
    if scores.shape[1] < 2:
        return None
    with warnings.catch_warnings(), pyplot.rc_context():  # aeon changes the layout of every later figure
        warnings.simplefilter("ignore")
        figure = create_multi_comparison_matrix(
            scores, formats=None, statistic_name="Accuracy", pvalue_threshold=ALPHA, show_symmetry=True
        )
    return _written(figure, path)


def draw_cost(table: Grid, path: Path) -> Path:
    """Accuracy against seconds of training and answering, a point for each method on each set."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    looks = cycle(zip(_COLOURS, _MARKERS, strict=True))
    for method, (colour, marker) in zip(table.methods, looks, strict=False):
        entries = [cases.entries[method.name] for cases in table.sets if method.name in cases.entries]
        points = [(entry.seconds, entry.accuracy) for entry in entries if entry.seconds]
        if points:
            axes.scatter(*zip(*points, strict=True), label=method.name, color=colour, marker=marker, alpha=0.8)
    axes.set(xscale="log", xlabel="training and answering (s)", ylabel="accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _written(figure, path)


def _written(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI, bbox_inches="tight", facecolor="white")
    pyplot.close(figure)
    return write_bytes(path, data.getvalue())
