"""Write the sample tables beside this file: python samples/make.py

Sines and square waves with noise, 40 cases to train, 20 to validate, 10 to answer, once in each of the layouts that
`python eval/baselines.py inception-time train` reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SIZES = {"train": 40, "valid": 20, "test": 10}
N_TIMEPOINTS = 30


def tables() -> dict[str, str]:
    """Path below `samples/` → content."""
    random = np.random.default_rng(0)
    found = {}
    for part, n_cases in SIZES.items():
        labels = np.array(["sine", "square"])[np.arange(n_cases) % 2]
        phase = random.uniform(0, 2 * np.pi, (n_cases, 1))
        waves = np.sin(np.linspace(0, 4 * np.pi, N_TIMEPOINTS) + phase)
        waves = np.where(labels[:, None] == "square", np.sign(waves), waves)
        rows = [[f"{value:.3f}" for value in row] for row in waves + random.normal(0, 0.2, waves.shape)]
        is_test = part == "test"
        found[f"headerless/{part}.csv"] = _lines(
            ([] if is_test else [label]) + row for label, row in zip(labels, rows, strict=True)
        )
        header = ["sample", "feature", *([] if is_test else ["y_1"]), *(f"x_{t}" for t in range(1, N_TIMEPOINTS + 1))]
        found[f"headed/{part}.csv"] = _lines([header]) + _lines(
            [str(i), "1", *([] if is_test else [label]), *row]
            for i, (label, row) in enumerate(zip(labels, rows, strict=True), start=1)
        )
    return found


def _lines(rows: Iterable[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def main() -> int:
    """Write every table."""
    for name, text in tables().items():
        path = Path(__file__).parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
