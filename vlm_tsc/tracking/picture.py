"""The confusion matrix as files: a picture, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.files import write_json

_LABELLED = 40  # classes up to which names stand at the axes
_NUMBERED = 16  # … and up to which each cell has its number
_LONGEST = 14  # characters of a name


def write_matrix(folder: Path, document: Mapping[str, Any]) -> tuple[dict[str, Any], Path, Path]:
    """Of the content of a metrics.json: classes and confusion matrix, and the PNG and the JSON of them in `folder`."""
    matrix = {key: document[key] for key in ("class_names", "confusion_matrix")}
    picture = draw_matrix(folder / "confusion_matrix.png", matrix["confusion_matrix"], matrix["class_names"])
    return matrix, picture, write_json(folder / "confusion_matrix.json", matrix)


def draw_matrix(path: Path, counts: Sequence[Sequence[int]], names: Sequence[str]) -> Path:
    """Draw cases of each class (rows) by how they were answered (columns), shaded by the share of the row, as PNG."""
    from matplotlib.figure import Figure  # without pyplot, which would keep the figure

    matrix = np.asarray(counts, dtype=float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(12.0, 2.5 + 0.4 * len(names))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("answered")
    axes.set_ylabel("true class")
    if len(names) <= _LABELLED:
        short = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
        axes.set_xticks(range(len(names)), [name.replace("$", r"\$") for name in short], rotation=90)
        axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in short])
    if len(names) <= _NUMBERED:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=colour)
    figure.savefig(path, dpi=120)
    return path
