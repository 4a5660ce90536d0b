"""Occlusion maps: seconds for a case, and whether the peak lies where the classes differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.timing import Result, table

LENGTH, WIDTH = 150, 30  # points of a case, and of the segment in which the classes differ
_HOW = (
    "{n} new cases of {length} points, base {base} fine-tuned on {train} cases. A case is smooth noise with a hump of "
    "{width} points at a random place: upwards in one class, downwards in the other, then z-normalised, which leaves "
    "a trace of the hump in the level of the rest; nothing else tells them apart. Hit: the map's highest timepoint "
    "lies in the hump (by chance {chance:.0%}). Seconds are of the map of one case, median, model loaded before."
)


@dataclass(frozen=True)
class Maps:
    """Share of right answers, share of peaks in the segment (of all cases, and of those answered rightly), seconds."""

    accuracy: float
    hits: float
    hits_of_right: float
    seconds: float

    def cells(self) -> list[tuple[str, str, str]]:
        """Rows of the table: what, measured, aim."""
        return [
            ("peak in the segment", f"{self.hits:.1%}", f"{'≥' if self.hits >= 0.9 else 'BELOW'} 90%"),
            ("… of cases answered rightly", f"{self.hits_of_right:.1%}", "–"),
            ("accuracy", f"{self.accuracy:.1%}", "–"),
            ("seconds a case", f"{self.seconds:.2f}", f"{'≤' if self.seconds <= 5 else 'ABOVE'} 5"),
        ]


def run(quick: bool = False) -> Result:
    """Fine-tune the bundled base on the synthetic classes and map new cases."""
    n_train, n_test = (12, 4) if quick else (200, 100)
    scorer, base = _fitted(n_train, quick)
    X, y, starts = humps(n_test, seed=1)
    found = _measured(scorer, X, y, starts)
    how = _HOW.format(n=n_test, length=LENGTH, base=base, train=n_train, width=WIDTH, chance=WIDTH / LENGTH)
    return Result("explain (what mattered)", how, (found,), table(("", "measured", "aim"), found.cells()))


def humps(n_cases: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cases (n_cases, 1, LENGTH), classes "up" and "down" in turn, and where each hump starts."""
    rng = np.random.default_rng(seed)
    y = np.array(["up", "down"])[np.arange(n_cases) % 2]
    starts = rng.integers(5, LENGTH - WIDTH - 5, n_cases)
    X = np.empty((n_cases, 1, LENGTH))
    for i, start in enumerate(starts):
        knots = rng.normal(0, 0.35, 16)
        X[i, 0] = np.interp(np.arange(LENGTH), np.linspace(0, LENGTH - 1, 16), knots) + rng.normal(0, 0.05, LENGTH)
        X[i, 0, start : start + WIDTH] += (1.5 if y[i] == "up" else -1.5) * np.hanning(WIDTH)
    X -= X.mean(axis=2, keepdims=True)
    return X / X.std(axis=2, keepdims=True), y, starts


def _fitted(n_train: int, quick: bool) -> tuple[Any, str]:
    from vlm_tsc.answer.model import be_quiet, choose_precision, use_all_cores
    from vlm_tsc.classify.llava import LlavaClassifier
    from vlm_tsc.use.scorer import Scorer

    be_quiet()
    use_all_cores()
    X, y, _ = humps(n_train, seed=0)
    made = LlavaClassifier(num_epochs=0.2 if quick else None).fit(X, y)
    return Scorer(made.model_, made.processor_, made.presentation_, 64, choose_precision("auto")), made.base


def _measured(scorer: Any, X: np.ndarray, y: np.ndarray, starts: np.ndarray) -> Maps:
    from vlm_tsc.use.case_map import map_case

    maps = [
        map_case(scorer, str(i), case, label, 3, "interpolate")
        for i, (case, label) in enumerate(zip(X, y, strict=True))
    ]
    hits = np.array([start <= one.map.peak[1] < start + WIDTH for one, start in zip(maps, starts, strict=True)])
    right = np.array([one.answered == one.true for one in maps])
    of_right = float(hits[right].mean()) if right.any() else 0.0
    return Maps(float(right.mean()), float(hits.mean()), of_right, float(np.median([one.seconds for one in maps])))
