"""Writing a dataset's pictures and conversations: `dataset.py` against a figure per case in a pool of all cores."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.series import ROOT, Source, source_of, walks_of
from benchmarks.timing import Result, Row, cores, in_turn, table

_HOW = (
    "PNG and JSON on disk, in cases per second of wall time; both sides use all {cores} cores and pictures of "
    "{size} × {size}. Each measurement is a new process. Stage: from the series' file to the last byte, with the "
    "start of worker processes, libraries imported before. Command: from the start of python to its end, with "
    "all imports. Peer: multiprocessing.Pool, a new figure per case, savefig, rounded values, one JSON. What limits "
    "ours is encoding and writing the PNGs, measured alone on one core and divided by {cores}."
)


def run(quick: bool = False) -> Result:
    """Measure ItalyPowerDemand and random walks shaped as TwoLeadECG; fewer walks alone where `quick`."""
    size = _picture_size()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, source in _sources(Path(folder), quick):
            rows += _measure(name, source, size, Path(folder), rounds=1 if quick else 3)
    how = _HOW.format(cores=cores(), size=size)
    return Result("data (dataset.py)", how, tuple(rows), _table(rows))


def _sources(folder: Path, quick: bool) -> list[tuple[str, Source]]:
    if quick:
        return [("walks 20 + 100 × 82", walks_of(folder, "Quick", 20, 100, 82))]
    italy = Source("ItalyPowerDemand", (), "ItalyPowerDemand")
    shaped = source_of("TwoLeadECG", folder, real=False)
    return [("ItalyPowerDemand 1,096 × 24", italy), ("walks 1,162 × 82", shaped)]


def _measure(name: str, source: Source, size: int, folder: Path, rounds: int) -> list[Row]:
    found = in_turn({side: _child(side, source, size, folder) for side in ("ours", "peer", "limit")}, rounds)
    middle = {
        side: {key: statistics.median(one[key] for one in ones) for key in ("stage", "command")}
        for side, ones in found.items()
    }
    limit = middle["limit"]["stage"] / cores()
    return [
        Row(f"{name}, {key}", middle["ours"][key], middle["peer"][key], limit, 6.0 if key == "stage" else None)
        for key in ("stage", "command")
    ]


def _child(side: str, source: Source, size: int, folder: Path) -> Callable[[], dict[str, float]]:
    """A measurement in a new process: seconds per case inside and from start to end."""
    words = [sys.executable, "-m", "benchmarks.data_sides", side, str(size), source.dataset, *source.options]

    def measure() -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            start = time.perf_counter()
            done = subprocess.run([*words, "--vlm-root", out], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            seconds = time.perf_counter() - start
        said = json.loads(done.stdout.splitlines()[-1])
        return {"stage": said["seconds"] / said["cases"], "command": seconds / said["cases"]}

    return measure


def _picture_size() -> int:
    from vlm_tsc.bases import load_base
    from vlm_tsc.conversation.processor import checkpoint_folder, load_processor, picture_size

    base = load_base("plot-llava-mini")
    return picture_size(base, load_processor(checkpoint_folder(base)))[0]


def _table(rows: list[Row]) -> str:
    headings = ("cases per second", "ours", "naive", "ratio", "limit", "of our time")
    cells = [
        (
            row.what,
            f"{1 / row.ours:,.0f}",
            f"{1 / row.peer:,.0f}",
            row.verdict(),
            f"{1 / row.limit:,.0f}",
            f"{row.limit_share:.0%}",
        )
        for row in rows
    ]
    return table(headings, cells)
