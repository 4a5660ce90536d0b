"""Learning curves: adapter/log.jsonl → lines over the optimiser's steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from vlm_tsc.report.axes import Axis, linear_axis

MOST_POINTS = 200  # per line; more cannot be told apart on a page, and the page must not grow with the training
AREA = (46.0, 348.0, 12.0, 182.0)  # left, right, top and bottom of a plot's area, in the drawing's units


@dataclass(frozen=True)
class Line:
    """A named line; `points` in the drawing's units, `last` its last value."""

    name: str
    points: list[tuple[float, float]]
    last: float


@dataclass(frozen=True)
class Chart:
    """Lines over common axes."""

    title: str
    x: Axis
    y: Axis
    lines: list[Line]


# Title of a chart, its axis, and its lines: key in the log → name.
CHARTS = (
    ("Loss", "loss (nats)", {"loss": "training, what is minimised", "eval_log_loss": "validation, per case"}),
    ("Validation accuracy", "accuracy", {"eval_accuracy": "validation"}),
)


def learning_curves(log: Sequence[dict[str, Any]]) -> list[Chart]:
    """A chart of the loss and, where a validation part chose the checkpoint, one of its accuracy.

    Parameters
    ----------
    log : sequence of dict
        Lines with "step" and any of "loss" (what training minimises: nats per answer token, with the distance from the
        teacher in it where there is one), "eval_log_loss" (nats per case), "eval_accuracy".
    """
    return [chart for title, label, keys in CHARTS if (chart := _chart(log, title, label, keys))]


def _chart(log: Sequence[dict[str, Any]], title: str, label: str, keys: dict[str, str]) -> Chart | None:
    series = {name: _thinned(_points(log, key)) for key, name in keys.items()}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None
    left, right, top, bottom = AREA
    both = [point for points in series.values() for point in points]
    x = linear_axis("optimiser steps", [0, *(step for step, _ in both)], left, right, 4)
    y = linear_axis(label, [0, *(value for _, value in both)], bottom, top)
    lines = [
        Line(name, [(x.at(step), y.at(value)) for step, value in points], points[-1][1])
        for name, points in series.items()
    ]
    return Chart(title, x, y, lines)


def _points(log: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """Of the lines that have the key; a figure that is not finite has no place on an axis."""
    found = [(line["step"], line.get(key)) for line in log]
    return [(step, value) for step, value in found if isinstance(value, int | float) and math.isfinite(value)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means over neighbours, so that at most 200 points are left."""
    size = -(-len(points) // MOST_POINTS)
    blocks = [points[i : i + size] for i in range(0, len(points), size)] if size > 1 else [[point] for point in points]
    return [(block[-1][0], mean(value for _, value in block)) for block in blocks]
