"""InceptionTime: five members together against five in turn, and against aeon's (TensorFlow), in epochs a second."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.series import ROOT, source_of
from benchmarks.timing import Result, in_turn, medians, table

MEMBERS = 5
PYTHON = "VLM_TSC_AEON"  # names a Python that has aeon and TensorFlow
_HOW = (
    "{n} training cases of {source}, the paper's settings, five networks, batches of 64, {threads} threads; seconds of "
    "an epoch of all five, medians of {rounds} rounds in turn. Five in turn: our own networks one after the other. "
    "Conv1d: one network as torch.nn has it, times five. {aeon}"
)
_AEON = (
    "aeon {aeon} on TensorFlow {tensorflow}, in a process of its own: the difference between a training of {more} and "
    "one of {few} epochs, so that building and compiling its graphs does not count."
)
_NO_AEON = f"aeon's was not measured: {PYTHON} does not name a Python that has aeon and TensorFlow."


@dataclass(frozen=True)
class Row:
    """Seconds of an epoch of five networks, and what the project promises of ours against it."""

    what: str
    seconds: float
    ratio: float
    target: float | None = None

    def cells(self) -> list[str]:
        """A line of the table."""
        verdict = f"{self.ratio:.2f}x"
        if self.target is not None:
            verdict += f" {'≥' if self.ratio >= self.target else 'BELOW'} {self.target:g}x"
        return [self.what, f"{self.seconds:.3f}", f"{1 / self.seconds:.2f}", verdict]


def run(quick: bool = False) -> Result:
    """Measure on GunPoint where it is at hand, else on random walks of its shape."""
    import torch

    from vlm_tsc.answer.model import use_all_cores

    use_all_cores()
    rounds, epochs = (1, 1) if quick else (5, 4)
    X, y, source = _cases()
    sides = {
        "together": _together(X, y, epochs),
        "in turn": _one_by_one(X, y, epochs),
        "Conv1d": _plain(X, y, epochs),
    }
    for measure in sides.values():
        measure()  # allocators and kernels are warm in what is measured
    found = medians(in_turn(sides, rounds))
    peer, told = _aeon(X, y, rounds, quick)
    if peer is not None:
        found["aeon"] = peer
    targets = {"in turn": 1.3, "aeon": 1.5}
    rows = [Row(name, value, value / found["together"], targets.get(name)) for name, value in found.items()]
    how = _HOW.format(n=len(X), source=source, threads=torch.get_num_threads(), rounds=rounds, aeon=told)
    headings = ("five networks", "s/epoch", "epochs/s", "together is faster")
    return Result("InceptionTime", how, tuple(rows), table(headings, [row.cells() for row in rows]))


def _cases() -> tuple[np.ndarray, np.ndarray, str]:
    from vlm_tsc.archive import load
    from vlm_tsc.archive.splits import training_cases

    with tempfile.TemporaryDirectory() as folder:
        source = source_of("GunPoint", Path(folder))
        names = [name.removeprefix("--").replace("-", "_") for name in source.options[::2]]
        cases = training_cases(load(source.dataset, **dict(zip(names, source.options[1::2], strict=True))))
    codes = np.array([cases.class_names.index(label) for label in cases.y])
    return np.stack(list(cases.X)), codes, source.description


def _together(X: np.ndarray, y: np.ndarray, epochs: int) -> Callable[[], float]:
    return lambda: _train(X, y, epochs, range(MEMBERS))


def _one_by_one(X: np.ndarray, y: np.ndarray, epochs: int) -> Callable[[], float]:
    return lambda: sum(_train(X, y, epochs, range(i, i + 1)) for i in range(MEMBERS))


def _train(X: np.ndarray, y: np.ndarray, epochs: int, members: range) -> float:
    """Seconds of an epoch of these members."""
    from vlm_tsc.classify.inception_time.cases import Cases
    from vlm_tsc.classify.inception_time.network import InceptionTime
    from vlm_tsc.classify.inception_time.training import train
    from vlm_tsc.classify.model_folder import device
    from vlm_tsc.classify.scaling import Scaling

    network = InceptionTime(X.shape[1], int(y.max()) + 1, 32, 6, members, 0).to(device())
    cases = Cases.of(list(X), Scaling.of(list(X)), device(), y)
    return train(network, cases, lr=0.001, batch_size=64, epochs=epochs, random_state=0) / epochs


def _plain(X: np.ndarray, y: np.ndarray, epochs: int) -> Callable[[], float]:
    """Five times the seconds of one network whose convolutions are torch.nn's, with torch's own Adam."""
    import torch
    import torch.nn.functional as F

    from tests.classify.inception_time.reference import Reference
    from vlm_tsc.classify.model_folder import device

    values, codes = torch.tensor(X, dtype=torch.float32, device=device()), torch.tensor(y, device=device())
    network = Reference(X.shape[1], int(y.max()) + 1).to(device())
    optimizer = torch.optim.Adam(network.parameters())

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(epochs):
            for rows in torch.randperm(len(codes), device=device()).split(64):
                optimizer.zero_grad()
                F.cross_entropy(network(values[rows]), codes[rows]).backward()
                optimizer.step()
        if device().type == "cuda":
            torch.cuda.synchronize()
        return MEMBERS * (time.perf_counter() - start) / epochs

    return measure


def _aeon(X: np.ndarray, y: np.ndarray, rounds: int, quick: bool) -> tuple[float | None, str]:
    """Seconds of an epoch of its five networks, and what to say of it."""
    python = os.environ.get(PYTHON)
    if python is None:
        return None, _NO_AEON
    few, more = ("1", "2") if quick else ("2", "12")
    seconds, facts = [], {}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "cases.npz", X=X, y=y)
        command = [
            python,
            str(ROOT / "benchmarks" / "inception_time_aeon.py"),
            str(Path(folder) / "cases.npz"),
            few,
            more,
        ]
        for _ in range(max(1, rounds // 2)):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            facts = json.loads(done.stdout.splitlines()[-1])
            taken = facts["seconds"]
            seconds.append((taken[more] - taken[few]) / (int(more) - int(few)))
    told = _AEON.format(aeon=facts["aeon"], tensorflow=facts["tensorflow"], few=few, more=more)
    return float(np.median(seconds)), told
