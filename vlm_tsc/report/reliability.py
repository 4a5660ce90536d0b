"""The reliability diagram: how often the model is right among the cases it is equally sure of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlm_tsc.evaluate.metrics import calibration_bins
from vlm_tsc.report.axes import Axis, linear_axis
from vlm_tsc.report.curves import AREA
from vlm_tsc.report.finished import FinishedRun

_GAP = 1.0  # between two bars, in the drawing's units
_STRIP = (206.0, 236.0)  # top and bottom of the strip that counts the cases of each bin


@dataclass(frozen=True)
class Bin:
    """One bin that has cases: place and size of its bars, and its figures."""

    x: float
    width: float
    y: float  # of its accuracy
    point: tuple[float, float]  # mean confidence and accuracy
    count_height: float
    low: float
    high: float
    n: int
    accuracy: float
    confidence: float


@dataclass(frozen=True)
class Reliability:
    """The diagram. `ece` is that of metrics.json, computed from the same bins."""

    x: Axis
    y: Axis
    bins: list[Bin]
    ece: float
    strip: tuple[float, float]


def reliability(run: FinishedRun, n_bins: int = 15) -> Reliability:
    """Accuracy of the scored answers in equal bins of their probability, the bins of `expected_calibration_error`."""
    rows = run.predictions
    confidence = np.array([row.probabilities[row.predicted] / sum(row.probabilities.values()) for row in rows])
    correct = np.array([row.predicted == row.true for row in rows])
    n, mean_confidence, accuracy = (values.tolist() for values in calibration_bins(confidence, correct, n_bins))
    left, right, top, bottom = AREA
    x = linear_axis("probability of the answer", (0, 1), left, right)
    y = linear_axis("share of right answers", (0, 1), bottom, top)
    bins = [
        _bin(x, y, (i / n_bins, (i + 1) / n_bins), n[i], n[i] / max(n), mean_confidence[i], accuracy[i])
        for i in range(n_bins)
        if n[i]
    ]
    return Reliability(x, y, bins, run.metrics["ece"], _STRIP)


def _bin(
    x: Axis, y: Axis, edges: tuple[float, float], n: int, height: float, confidence: float, accuracy: float
) -> Bin:
    """`height`: cases of the bin as a share of the fullest bin's."""
    return Bin(
        x=x.at(edges[0]) + _GAP / 2,
        width=round(x.at(edges[1]) - x.at(edges[0]) - _GAP, 1),
        y=y.at(accuracy),
        point=(x.at(confidence), y.at(accuracy)),
        count_height=round(max(1.0, (_STRIP[1] - _STRIP[0]) * height), 1),
        low=edges[0],
        high=edges[1],
        n=n,
        accuracy=accuracy,
        confidence=confidence,
    )
