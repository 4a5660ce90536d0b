"""Occlusion maps as a figure: each series, and under it on the same time axis what its windows were worth."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes

# Okabe and Ito's colours; above and below zero says the same as the colour.
INK, FOR, AGAINST, SOFT = "#1b1f24", "#d55e00", "#0072b2", "#57606a"
FORMATS = (".svg", ".png", ".pdf")
_LONGEST_TITLE = 60
_LETTERS = 14  # of the figure's title, to an inch
_KEY = "orange speaks for the class: without it, its answer is less likely; blue speaks against it"
_DPI = 200  # of a .png: crisp at twice its size on a screen


@dataclass(frozen=True)
class Panel:
    """One series with its map.

    Attributes
    ----------
    title : str
    time, value, drop : ndarray (n_timepoints,)
        Drops are in nats.
    value_spread, drop_spread : ndarray (n_timepoints,), optional
        Of the mean, up and down.
    """

    title: str
    time: np.ndarray
    value: np.ndarray
    drop: np.ndarray
    value_spread: np.ndarray | None = None
    drop_spread: np.ndarray | None = None


def check_format(path: Path) -> None:
    """Refuse a name whose end is no format of a figure."""
    if path.suffix.lower() not in FORMATS:
        raise InputError("no known format of a figure", where="--output", got=path, allowed=FORMATS)


def draw_panels(path: Path, panels: Sequence[Panel], columns: int, title: str, time_label: str) -> Path:
    """Write the figure, panels row by row; the drops of all share one axis, so that they can be compared.

    Parameters
    ----------
    path : Path
        Its end, .svg, .png or .pdf, chooses the format.
    columns : int
        Panels beside each other.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    # text stays text and ids stay the same, so that equal maps are equal files
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "map", "font.size": 9, "axes.titlesize": 9}):
        width = max(6.4, 3.4 * columns)
        figure = Figure(figsize=(width, 0.8 + 2.1 * rows), layout="constrained")
        figure.suptitle(textwrap.fill(plain(title, 200), round(_LETTERS * width)), fontsize=10)
        figure.supxlabel(_KEY, fontsize=8, color=SOFT)
        axes = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, height_ratios=[3, 2] * rows)
        limits = _limits(panels)
        for i, panel in enumerate(panels):
            row, column = divmod(i, columns)
            _draw(axes[2 * row][column], axes[2 * row + 1][column], panel, limits)
            if column == 0:
                axes[2 * row][0].set_ylabel("value")
                axes[2 * row + 1][0].set_ylabel("drop (nats)")
            if i + columns >= len(panels):
                axes[2 * row + 1][column].set_xlabel(time_label)
                axes[2 * row + 1][column].tick_params(labelbottom=True)
        for i in range(len(panels), rows * columns):
            row, column = divmod(i, columns)
            axes[2 * row][column].set_axis_off()
            axes[2 * row + 1][column].set_axis_off()
        file = io.BytesIO()
        kind = path.suffix.lower()[1:]
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        figure.savefig(file, format=kind, dpi=_DPI, metadata=metadata)
    return write_bytes(path, file.getvalue())


def plain(text: str, longest: int = _LONGEST_TITLE) -> str:
    """Anybody's text as matplotlib shows it, without being read as a formula, on one line."""
    text = " ".join(text.split())
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")


def _draw(upper: Any, lower: Any, panel: Panel, limits: tuple[float, float]) -> None:
    upper.set_title(plain(panel.title), loc="left")
    upper.plot(panel.time, panel.value, color=INK, linewidth=1.2)
    if panel.value_spread is not None:
        edges = (panel.value - panel.value_spread, panel.value + panel.value_spread)
        upper.fill_between(panel.time, *edges, color=SOFT, alpha=0.25, linewidth=0)
    zero = np.zeros_like(panel.drop)
    lower.fill_between(panel.time, zero, panel.drop, where=panel.drop > 0, interpolate=True, color=FOR, linewidth=0)
    lower.fill_between(panel.time, zero, panel.drop, where=panel.drop < 0, interpolate=True, color=AGAINST, linewidth=0)
    lower.plot(panel.time, panel.drop, color=INK, linewidth=0.8)
    if panel.drop_spread is not None:  # as lines, because a band would cover the colours
        for edge in (panel.drop - panel.drop_spread, panel.drop + panel.drop_spread):
            lower.plot(panel.time, edge, color=SOFT, linewidth=0.8, linestyle=(0, (1, 1.5)))
    lower.axhline(0, color=SOFT, linewidth=0.8)
    lower.set_ylim(*limits)
    lower.set_xlim(panel.time[0], panel.time[-1])
    if panel.drop.max() > 0:
        for axis in (upper, lower):
            axis.axvline(panel.time[panel.drop.argmax()], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """Of the axis of all drops: zero is on it, and a map without any drop is a line in its middle."""
    edges = [0.0]
    for panel in panels:
        spread = 0 if panel.drop_spread is None else panel.drop_spread
        edges += [float((panel.drop - spread).min()), float((panel.drop + spread).max())]
    low, high = min(edges), max(edges)
    if high - low < 1e-9:
        return -1.0, 1.0
    return low - 0.05 * (high - low), high + 0.05 * (high - low)
