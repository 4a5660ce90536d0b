"""A finished run of a tiny base, and the new series that it is asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import train
from tests.conftest import make_set
from tests.test_job import FAST, only_run, write_sets
from vlm_tsc.run import RunFolder

LENGTH = 30  # of the cases of `make_set`


@pytest.fixture(scope="session")
def a_run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on series of one channel and one length, which a test must not change."""
    folder = tmp_path_factory.mktemp("finished")
    given = [*write_sets(folder, make_set(12, 0), make_set(6, 1)), "--base", str(tiny_base), "--run-name", "r"]
    assert train.main([*given, *FAST, "--views", "2", "--data-repr", "BASELINE"]) == 0
    return only_run(folder)


def write_table(path: Path, X: np.ndarray, separator: str = ",") -> Path:
    """Cases (n_cases, n_timepoints) as a table of values alone."""
    path.write_text("".join(separator.join(map(repr, row)) + "\n" for row in X.tolist()), encoding="utf-8")
    return path
