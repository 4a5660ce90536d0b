"""A series, and what mattered in it, as places in a drawing; the templates make SVG of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlm_tsc.report.axes import Axis, linear_axis
from vlm_tsc.use.case_map import MOST_PANELS, CaseMap

_LEFT, _RIGHT = 48.0, 412.0
_VALUES = (8.0, 118.0)  # top and bottom of the series
_DROPS = (136.0, 206.0)  # and of its map
_MOST_POINTS = 1500  # of a line: more than a screen has columns


@dataclass(frozen=True)
class Panel:
    """One channel. `line`, `above` and `below` are points of SVG; `peak` is a place on the time axis."""

    name: str
    x: Axis
    y: Axis
    line: str
    bottom: float
    drops: Axis | None = None
    above: str = ""
    below: str = ""
    peak: float | None = None


def series_panels(case: np.ndarray) -> list[Panel]:
    """Channels of a case `(n_channels, n_timepoints)`, the first eight at most."""
    return [_panel(case, i) for i in range(min(len(case), MOST_PANELS))]


def map_panels(made: CaseMap) -> list[Panel]:
    """Channels with their map, at most the eight that mattered most; the drops of all share one axis."""
    importance = made.map.importance
    order = np.argsort(-importance.max(axis=1), kind="stable")[:MOST_PANELS]
    drops = linear_axis("drop (nats)", (0.0, *importance.ravel().tolist()), _DROPS[1], _DROPS[0], n_ticks=3)
    return [_panel(made.case, i, importance[i], drops) for i in sorted(order.tolist())]


def _panel(case: np.ndarray, channel: int, importance: np.ndarray | None = None, drops: Axis | None = None) -> Panel:
    values = case[channel]
    last = max(len(values), 2)
    x = Axis("time (points)", 1, last, _LEFT, _RIGHT, _time_ticks(last))
    y = linear_axis("value", values.tolist(), _VALUES[1], _VALUES[0], n_ticks=4)
    name = f"channel {channel + 1}" if len(case) > 1 else ""
    line = _points(x, y, values)
    if importance is None or drops is None:
        return Panel(name, x, y, line, _VALUES[1])
    above, below = (_area(x, drops, part) for part in (importance.clip(min=0), importance.clip(max=0)))
    peak = x.at(int(importance.argmax()) + 1) if importance.max() > 0 else None
    return Panel(name, x, y, line, _DROPS[1], drops, above, below, peak)


def _time_ticks(last: int) -> tuple[tuple[float, str], ...]:
    ticks = [value for value, _ in linear_axis("", (0, last), 0, 1).ticks if 1 < value <= last]
    return tuple((value, f"{value:.0f}") for value in (1, *ticks) if value == round(value))


def _points(x: Axis, y: Axis, values: np.ndarray) -> str:
    step = -(-len(values) // _MOST_POINTS)
    return " ".join(f"{x.at(i + 1)},{y.at(values[i])}" for i in range(0, len(values), step))


def _area(x: Axis, y: Axis, values: np.ndarray) -> str:
    """The outline between a line and zero; empty where the line is zero everywhere."""
    if not values.any():
        return ""
    zero = y.at(0.0)
    return f"{x.at(1)},{zero} {_points(x, y, values)} {x.at(len(values))},{zero}"
