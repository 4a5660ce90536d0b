"""Axes of the report's plots: values → places in the drawing, with round ticks. The templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_ALIKE = 1e-9  # of the largest value: what differs by less is drawn as one
SMALLEST_DECADE = -2  # below a hundredth (of a second) nothing is told apart


@dataclass(frozen=True)
class Axis:
    """One axis. `start` and `end`: where `low` and `high` lie, in the drawing's units; `ticks`: value and its text."""

    label: str
    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def at(self, value: float) -> float:
        """The place of a value; what lies outside is put on the edge."""
        low, high, value = (self._scaled(number) for number in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return round(self.start + (self.end - self.start) * min(max(share, 0.0), 1.0), 1)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 10.0**SMALLEST_DECADE)) if self.is_log else value


def linear_axis(label: str, values: Iterable[float], start: float, end: float, n_ticks: int = 5) -> Axis:
    """An axis that holds all `values`, from one round tick to another.

    Parameters
    ----------
    label : str
        What is measured, with its unit.
    values : iterable of float
        At least one; they need not differ.
    start, end : float
        Places of the first and the last tick.
    n_ticks : int
        About so many ticks.
    """
    values = [float(value) for value in values]
    low, high = min(values), max(values)
    largest = max(abs(low), abs(high))
    if high - low <= largest * _ALIKE:  # ticks between them could not be told apart, even as floats
        low, high = low - max(0.5, largest * _ALIKE), high + max(0.5, largest * _ALIKE)
    step = _round_step((high - low) / n_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple((i * step, f"{i * step:.{decimals}f}") for i in range(first, last + 1))
    return Axis(label, ticks[0][0], ticks[-1][0], start, end, ticks)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20 … (and 0.1, 0.2 …) that is at least `least`."""
    decade = 10.0 ** math.floor(math.log10(least))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= least * (1 - 1e-9))


def log_axis(label: str, values: Iterable[float], start: float, end: float) -> Axis:
    """An axis of decades that holds all `values`; what is below a hundredth lies on its low edge."""
    decades = [math.log10(max(value, 10.0**SMALLEST_DECADE)) for value in values]
    first, last = math.floor(min(decades)), math.ceil(max(decades))
    exponents = range(first, max(last, first + 1) + 1)
    ticks = tuple((10.0**exponent, f"{10.0**exponent:g}") for exponent in exponents)
    return Axis(label, ticks[0][0], ticks[-1][0], start, end, ticks, is_log=True)
