"""Predicting from a long table: cases a second, and whether memory stays where it is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.series import ROOT, SHAPES, walks, walks_of
from benchmarks.timing import Result, table

SHAPE = "TwoLeadECG"
_GROWTH = 1.05  # that does not count: allocators keep what a busy moment needed
_HOW = (
    "A run of train.py on random walks of {points} points, a moment's training, answers a CSV of {n:,} other walks by "
    "python -m vlm_tsc.use.predict --views 1. Memory is the resident memory of the process and its children, the "
    "largest in each third of the time in which rows were written; the last must not hold more than the first."
)


@dataclass(frozen=True)
class Predicted:
    """What came of it.

    Attributes
    ----------
    n, rows : int
        Cases of the table, and rows of answers.
    seconds : float
        Of the whole command.
    per_second : float
        As the command says it, without loading.
    memory_mb : tuple of float
        Largest of each third.
    """

    n: int
    rows: int
    seconds: float
    per_second: float
    memory_mb: tuple[float, float, float]

    def verdict(self) -> str:
        """Whether every case was answered in constant memory."""
        is_constant = self.memory_mb[2] <= _GROWTH * self.memory_mb[0]
        all_answered = "every case is answered" if self.rows == self.n else "NOT EVERY CASE IS ANSWERED"
        return f"{all_answered}; memory {'stays' if is_constant else 'GROWS'}"


def run(quick: bool = False) -> Result:
    """Measure on 100,000 rows, with `quick` on a few hundred."""
    n, points = 600 if quick else 100_000, SHAPES[SHAPE][2]
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
    import psutil

    options = ["--input", str(table_file), "--output", str(output), "--views", "1"]
    command = [sys.executable, "-m", "vlm_tsc.use.predict", str(run_folder), *options]
    start, seen = time.perf_counter(), []
    child = psutil.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while child.poll() is None:
        try:
            memory = sum(one.memory_info().rss for one in [child, *child.children(recursive=True)])
        except psutil.NoSuchProcess:  # it has just ended
            break
        if output.exists():
            seen.append(memory / 1e6)
        time.sleep(0.1)
    said = child.communicate()[0]
    if child.returncode:
        raise RuntimeError(f"predict ended with {child.returncode}:\n{said[-2000:]}")
    first, second, last = (float(part.max()) for part in np.array_split(np.array(seen), 3))
    rate = float(said.rsplit(": ", 1)[1].split()[0].replace(",", ""))
    with output.open() as file:
        rows = sum(1 for _ in file) - 1
    return Predicted(n, rows, time.perf_counter() - start, rate, (first, second, last))
