"""Accuracy and log-loss against the operations of pre-training, as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.pretraining_points import NOTHING
from vlm_tsc.files import write_bytes

_UNIT = 1e15  # operations
_DPI = 200  # a picture 8 inches wide is as sharp as it need be where it is shown 800 pixels wide
_LOOKS = {  # Okabe and Ito's colours, and shapes for who sees none
    "vision": ("#0072B2", "o", "vision tower alone"),
    "captions": ("#E69F00", "s", "captions"),
    "instructions": ("#CC79A7", "^", "instructions"),
    "episodes": ("#009E73", "D", "episodes"),
}
_PANELS = (("accuracy", "mean accuracy"), ("log_loss", "mean log-loss (nats)"))


def draw(points: Sequence[dict[str, Any]], title: str, path: Path) -> Path:
    """Two panels over a common axis: of every point the mean over sets, ± its standard error.

    A line joins the ends of several pre-trainings, or else the points of the only one.

    Parameters
    ----------
    points : sequence of dict
        `stage`, `is_end`, `operations`, `accuracy`, `log_loss`, and `accuracy_error`, `log_loss_error`.
    title : str
        What was measured, in a line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.9), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (key, label) in zip(panels, _PANELS, strict=True):
        _panel(axes, points, key)
        axes.set_ylabel(label)
    figure.supxlabel(
        "pre-training so far: 10¹⁵ floating-point operations, forward and backward (log scale)", fontsize=10
    )
    handles, labels = panels[0].get_legend_handles_labels()
    look = {"ncols": len(labels), "frameon": False, "fontsize": 9, "title_fontsize": 10, "columnspacing": 1.5}
    figure.legend(handles, labels, title=title, loc="outside upper center", **look)
    data = io.BytesIO()
    figure.savefig(data, format="png", facecolor="white")
    return write_bytes(path, data.getvalue())


def _panel(axes: Any, points: Sequence[dict[str, Any]], key: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    trained = [point for point in points if point["stage"] != NOTHING]
    ends = [point for point in trained if point["is_end"]]
    on_line = sorted(ends if len(ends) > 1 else trained, key=lambda point: point["operations"])
    axes.plot([p["operations"] / _UNIT for p in on_line], [p[key] for p in on_line], color="#999999", linewidth=1)
    for point in points:
        if point["stage"] == NOTHING:  # has no place on a logarithmic axis
            axes.axhline(point[key], color="black", linestyle="--", linewidth=1, label="no pre-training")
    for stage, (colour, marker, label) in _LOOKS.items():
        of_stage = [point for point in trained if point["stage"] == stage]
        if of_stage:
            x = [point["operations"] / _UNIT for point in of_stage]
            y, error = ([point[name] for point in of_stage] for name in (key, f"{key}_error"))
            look = {"color": colour, "marker": marker, "markersize": 6, "label": label}
            axes.errorbar(x, y, error, linestyle="none", elinewidth=1, capsize=2, zorder=3, **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
