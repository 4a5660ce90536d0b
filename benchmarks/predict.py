"""Predicting from a long table: cases a second, whether memory stays where it is, and whether a kill costs a row."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.series import ROOT, SHAPES, walks, walks_of
from benchmarks.timing import Result, table

SHAPE = "TwoLeadECG"
_GROWTH = 1.05  # that does not count: allocators keep what a busy moment needed
_HOW = (
    "A run of train.py on random walks of {points} points, a moment's training, answers a CSV of {n:,} other walks by "
    "python -m vlm_tsc.use.predict --views 1. It is killed when a tenth is answered, and the same command goes on; "
    "time and rate are of what that one did. Memory is its resident memory with its children, the largest in "
    "each third of the time in which rows were written; the last must not hold more than the first by a twentieth."
)


@dataclass(frozen=True)
class Predicted:
    """What came of it.

    Attributes
    ----------
    n, before : int
        Cases of the table, and those of them that were answered when the first command was killed.
    is_whole : bool
        Whether every case has one row, in the table's order.
    seconds : float
        Of the command that went on.
    per_second : float
        As that command says it, without loading.
    memory_mb : tuple of float
        Largest of each third.
    """

    n: int
    before: int
    is_whole: bool
    seconds: float
    per_second: float
    memory_mb: tuple[float, float, float]

    def verdict(self) -> str:
        """Whether every case was answered in constant memory."""
        is_constant = self.memory_mb[2] <= _GROWTH * self.memory_mb[0]
        answered = "every case is answered once" if self.is_whole else "NOT EVERY CASE IS ANSWERED ONCE"
        killed = f"killed after {self.before:,}" if 0 < self.before < self.n else "ENDED BEFORE IT WAS KILLED"
        return f"{killed}; {answered}; memory {'stays' if is_constant else 'GROWS'}"


def run(quick: bool = False) -> Result:
    """Measure on 100,000 rows, with `quick` on a thousand."""
    n, points = 1_000 if quick else 100_000, SHAPES[SHAPE][2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = walks_of(folder, SHAPE, 16, 8, points)
        train = ["train.py", "--dataset", source.dataset, *source.options, "--vlm-root", name, "--run-name", "run"]
        train += ["--num-epochs", "1", "--baselines", "none", "--views", "1"]
        subprocess.run([sys.executable, *train], cwd=ROOT, capture_output=True, check=True)
        (run_folder,) = (folder / "runs").glob("*/run")
        np.savetxt(folder / "new.csv", walks(n, points, seed=1)[:, 0], delimiter=",", fmt="%.5g")
        row = _predicted(run_folder, folder / "new.csv", folder / "answers.csv", n)
    cells = [f"{row.n:,}", f"{row.seconds:,.0f} s", f"{row.per_second:,.0f}"]
    cells += [f"{megabytes:,.0f} MB" for megabytes in row.memory_mb]
    headings = ("rows", "time", "cases/s", "first third", "second", "last")
    shown = f"{table(headings, [cells])}\n{row.verdict()}"
    return Result("predict", _HOW.format(points=points, n=n), (row,), shown)


def _predicted(run_folder: Path, table_file: Path, output: Path, n: int) -> Predicted:
    options = ["--input", str(table_file), "--output", str(output), "--views", "1"]
    command = [sys.executable, "-m", "vlm_tsc.use.predict", str(run_folder), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while first.poll() is None and _answered(output) < n / 10:
            time.sleep(0.05)
        first.kill()
    before, start = _answered(output), time.perf_counter()
    said, memory = _watched(command, lambda: _answered(output) > before)
    seconds, rate = time.perf_counter() - start, re.search(r"([\d,]+) cases/s", said)
    thirds = [float(part.max(initial=0)) for part in np.array_split(np.array(memory), 3)]
    with output.open(newline="") as file:
        is_whole = [row[0] for row in csv.reader(file)][1:] == [str(i) for i in range(1, n + 1)]
    per_second = float(rate[1].replace(",", "")) if rate else float("nan")
    return Predicted(n, before, is_whole, seconds, per_second, (thirds[0], thirds[1], thirds[2]))


def _answered(output: Path) -> int:
    """Cases that the note beside the output says are answered."""
    note = Path(f"{output}.json")
    return json.loads(note.read_bytes())["cases"] if note.exists() else 0


def _watched(command: list[str], counts: Callable[[], bool]) -> tuple[str, list[float]]:
    """What a command says, and its memory in MB, looked at ten times a second while `counts()`."""
    import psutil

    memory = []
    with tempfile.TemporaryFile("w+") as said:
        child = psutil.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, text=True)
        while child.poll() is None:
            try:
                now = sum(one.memory_info().rss for one in [child, *child.children(recursive=True)]) / 1e6
            except psutil.NoSuchProcess:  # it has just ended
                break
            if counts():
                memory.append(now)
            time.sleep(0.1)
        code = child.wait()
        said.seek(0)
        text = said.read()
    if code:
        raise RuntimeError(f"predict ended with {code}:\n{text[-2000:]}")
    return text, memory
