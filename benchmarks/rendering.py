"""Drawing one series in memory: our line picture against a new matplotlib figure with `savefig`."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from itertools import repeat

import numpy as np

from benchmarks.series import walks
from benchmarks.timing import Result, Row, in_turn, medians, table, timed

SIZE = 336  # pixels, width and height
LENGTHS = (24, 82, 301, 1639, 2709)
_CASES = 5  # other walks have other amounts of ink
_HOW = (
    "One series as a 336 × 336 picture in memory, on one core. Peer: a new figure, plt.plot, savefig to BytesIO. "
    "Random walks; median CPU time a picture, both sides in turn. What limits ours is Agg's draw_path of the "
    "same polyline on a bare canvas; the rest is the white RGB picture around it."
)


def run(quick: bool = False) -> Result:
    """Measure every length; CPU time, because one core drawing in memory waits for nothing."""
    rows, with_png = [], []
    for length in LENGTHS[:1] + LENGTHS[-1:] if quick else LENGTHS:
        found = _measure(length, rounds=2 if quick else 25)
        target = 25.0 if length <= 301 else 8.0
        rows.append(Row(f"{length} points", found["ours"], found["peer"], found["limit"], target))
        with_png.append(found["png"])
    return Result("rendering", _HOW, tuple(rows), _table(rows, with_png))


def _measure(length: int, rounds: int) -> dict[str, float]:
    from vlm_tsc.representation import draw, png_bytes
    from vlm_tsc.representation.limits import case_limits
    from vlm_tsc.representation.line import heights, to_pixels

    cases = list(walks(_CASES, length))
    time_share = np.linspace(0, 1, length)
    lines = [to_pixels(time_share, heights(case, case_limits(case))[0], SIZE, SIZE) for case in cases]
    inks: dict[str, Callable[[int], object]] = {
        "ours": lambda i: draw(cases[i], (SIZE, SIZE)),
        "peer": lambda i: _new_figure(cases[i]),
        "limit": lambda i: _bare_agg(lines[i]),
        "png": lambda i: png_bytes(draw(cases[i], (SIZE, SIZE))),
    }
    sides = {}
    for name, ink in inks.items():
        ink(0)  # the first call imports and fills caches
        sides[name] = timed(lambda part, ink=ink: [ink(i) for i in part], repeat(range(_CASES)), clock=time.thread_time)
    return medians(in_turn(sides, rounds))


def _new_figure(case: np.ndarray) -> bytes:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.figure(figsize=(SIZE / 100, SIZE / 100), dpi=100)
    plt.plot(case[0])
    file = io.BytesIO()
    plt.savefig(file, format="png")
    plt.close()
    return file.getvalue()


def _bare_agg(line: np.ndarray) -> object:
    """What `line.ink` asks of Agg, and nothing else."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    canvas = RendererAgg(SIZE, SIZE, 72)
    pen = canvas.new_gc()
    pen.set_linewidth(SIZE / 140)
    pen.set_joinstyle("round")
    pen.set_snap(False)
    path = Path(line)
    path.should_simplify = len(line) > SIZE
    path.simplify_threshold = 1 / 9
    canvas.draw_path(pen, path, IdentityTransform(), None)
    return canvas


def _table(rows: list[Row], with_png: list[float]) -> str:
    headings = ("length", "ours", "+ PNG", "matplotlib", "ratio", "ratio + PNG", "limit")
    cells = [
        (
            row.what,
            f"{row.ours * 1e3:.2f} ms",
            f"{png * 1e3:.2f} ms",
            f"{row.peer * 1e3:.1f} ms",
            row.verdict(),
            f"{row.peer / png:.0f}x",
            f"{row.limit_share:.0%}",
        )
        for row, png in zip(rows, with_png, strict=True)
    ]
    return table(headings, cells)
