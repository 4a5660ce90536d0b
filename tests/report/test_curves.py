"""Learning curves and axes of figures that are not finite, not different, or very large."""

from __future__ import annotations

import math

import pytest

from vlm_tsc.report.axes import linear_axis
from vlm_tsc.report.curves import learning_curves


def test_a_log_with_a_loss_that_is_no_number_is_drawn_without_it():
    (chart,) = learning_curves([{"step": 10, "loss": 0.5}, {"step": 20, "loss": math.nan}, {"step": 30, "loss": 0.25}])
    (line,) = chart.lines
    assert len(line.points) == 2 and line.last == 0.25
    assert learning_curves([{"step": 10, "loss": math.nan, "eval_accuracy": math.inf}]) == []


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [1e17, 1e17], [-1e300, -1e300], [1e17, 1e17 + 16]])
def test_a_constant_lies_within_its_axis(values):
    axis = linear_axis("value", values, 0, 100)
    assert axis.low < values[0] < axis.high and 0 < axis.at(values[0]) < 100
