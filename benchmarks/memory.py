"""Peak memory of `dataset.py` and `train.py`, with all their child processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.series import ROOT, source_of, walks_of
from benchmarks.timing import Result, table

_SAMPLE_SECONDS = 0.05
_HOW = (
    "Largest sum of resident memory over the process and its children, sampled every 50 ms. Pages that "
    "processes share are counted in each, so this is an upper bound. What limits: python with torch and "
    "transformers imported and the base and its processor loaded, and nothing done. MB of 10^6 bytes."
)
_LOADED = """
from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import load_base
from vlm_tsc.conversation.processor import checkpoint_folder
load_model(checkpoint_folder(load_base("plot-llava-mini")))
"""
_PROCESSOR = """
from vlm_tsc.bases import load_base
from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
load_processor(checkpoint_folder(load_base("plot-llava-mini")))
"""


@dataclass(frozen=True)
class Peak:
    """Peak memory in MB, what is allowed, and what an idle process with the same libraries holds."""

    what: str
    ours: float
    allowed: float
    limit: float

    def verdict(self) -> str:
        """Beside what is allowed, marked where it is more."""
        return f"{'≤' if self.ours <= self.allowed else 'ABOVE'} {self.allowed:,.0f} MB"


def run(quick: bool = False) -> Result:
    """Measure both commands; small random walks where `quick`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if quick:
            large = small = walks_of(folder, "Quick", 12, 12, 82)
        else:
            large, small = source_of("HandOutlines", folder), source_of("TwoLeadECG", folder)
        python, root = sys.executable, ("--vlm-root", str(folder))
        train = ("--num-epochs", "2", *root)
        commands = {
            "data": [python, "dataset.py", "--dataset", large.dataset, *large.options, *root],
            "data limit": [python, "-c", _PROCESSOR],
            "train": [python, "train.py", "--dataset", small.dataset, *small.options, *train],
            "train limit": [python, "-c", _LOADED],
        }
        peaks = {key: peak_mb(command) for key, command in commands.items()}
    rows = (
        Peak(f"dataset.py, {large.description}", peaks["data"], 1000, peaks["data limit"]),
        Peak(f"train.py, {small.description}", peaks["train"], 4000, peaks["train limit"]),
    )
    cells = [(row.what, f"{row.ours:,.0f} MB", row.verdict(), f"{row.limit:,.0f} MB") for row in rows]
    return Result("memory", _HOW, rows, table(("command", "peak", "target", "libraries alone"), cells))


def peak_mb(command: list[str]) -> float:
    """Largest resident memory of a command's whole process tree, in MB.

    Raises
    ------
    RuntimeError
        When the command fails, with what it wrote.
    """
    import psutil

    with tempfile.TemporaryFile("w+") as said:
        child = psutil.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        peak = 0
        while child.poll() is None:
            peak = max(peak, _resident(child))
            time.sleep(_SAMPLE_SECONDS)
        if child.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{said.read()[-2000:]}")
    return peak / 1e6


def _resident(child: object) -> int:
    import psutil

    assert isinstance(child, psutil.Popen)
    total = 0
    try:
        for process in [child, *child.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # one has just ended; the next sample sees the rest
        return 0
    return total
