"""Until a saved classifier has answered: a fresh process, and what of its time the libraries' imports take."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.series import ROOT, SHAPES, walks_of
from benchmarks.timing import Result, table

SHAPE, AIM = "TwoLeadECG", 2.0
_STILL = "import gc; gc.disable()"  # as `vlm_tsc.startup` does it: what is left is what nobody can save
_TORCH, _AEON = f"{_STILL}; import torch", f"{_STILL}; from aeon.classification.base import BaseClassifier"
_LLAVA = f"{_TORCH}; from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration"
_OURS = (
    "import numpy as np; from vlm_tsc.classify.llava import LlavaClassifier; "
    "LlavaClassifier.load({adapter!r}).predict(np.random.default_rng(0).normal(size=(8, 1, {points})))"
)
_HOW = (
    "A fresh Python imports what the row names, and ends; the last loads an adapter of the bundled base, of a moment's "
    "training, and answers eight series. The collector is off while libraries are imported. One thread, files in the "
    "page cache, each row once in each of {rounds} rounds, medians. Seconds of the processor, user and system, say "
    "something also where other programs run beside; those of the clock do not."
)


@dataclass(frozen=True)
class Started:
    """Median seconds of a process from its start to its end, on the clock and of the processor."""

    what: str
    clock: float
    processor: float
    aim: float | None = None

    def cells(self) -> tuple[str, ...]:
        """A row of the table; the aim is judged by the clock."""
        verdict = "–" if self.aim is None else f"{'≤' if self.clock <= self.aim else 'ABOVE'} {self.aim:g} s"
        return self.what, f"{self.processor:.2f} s", f"{self.clock:.2f} s", verdict


def run(quick: bool = False) -> Result:
    """Measure in five rounds, with `quick` in one."""
    rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory() as name:
        ours = _OURS.format(adapter=str(_adapter(Path(name))), points=SHAPES[SHAPE][2])
        sides = {"Python alone": "pass", "torch": _TORCH, "torch and transformers' LLaVA": _LLAVA, "aeon": _AEON}
        rows = started(sides | {"load(RUN).predict(X)": ours}, rounds)
    headings = ("a process with", "processor", "clock", "aim")
    return Result("startup", _HOW.format(rounds=rounds), rows, table(headings, [row.cells() for row in rows]))


def started(sides: Mapping[str, str], rounds: int) -> tuple[Started, ...]:
    """Medians of every code in turn, after a round that only warms the page cache; the last one has the aim."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, code in sides.items():
            seconds = _seconds(code)
            found[name] += [seconds] * (i > 0)
    last = list(sides)[-1]
    rows = []
    for name, times in found.items():
        clock, processor = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append(Started(name, clock, processor, AIM if name == last else None))
    return tuple(rows)


def _adapter(folder: Path) -> Path:
    source = walks_of(folder, SHAPE, 16, 8, SHAPES[SHAPE][2])
    train = ["train.py", "--dataset", source.dataset, *source.options, "--vlm-root", str(folder), "--run-name", "run"]
    train += ["--num-epochs", "1", "--baselines", "none", "--views", "1"]
    subprocess.run([sys.executable, *train], cwd=ROOT, capture_output=True, check=True)
    (run_folder,) = (folder / "runs").glob("*/run")
    return run_folder


def _seconds(code: str) -> tuple[float, float]:
    """On the clock and of the processor, of a Python that runs this and ends."""
    before, start = _used(), time.perf_counter()
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=one_thread, capture_output=True, check=True)
    return time.perf_counter() - start, _used() - before


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
