"""Two CPU ranks under the `deepspeed` launcher learn what one process learns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from tests.conftest import make_set
from tests.test_job import only_run, write_sets
from vlm_tsc.run import RunFolder

ROOT = Path(train.__file__).parent
OPTIONS = ["--num-epochs", "10", "--baselines", "none", "--precision", "fp32", "--lora-dropout", "0"]
OPTIONS += ["--augment", "1", "--run-name", "r"]


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed has no wheel here")
def test_two_ranks_equal_one_process_of_twice_the_batch(tiny_base, tmp_path):
    sides = {"one": tmp_path / "one", "two": tmp_path / "two"}
    for folder in sides.values():
        folder.mkdir()
    given = {
        name: [*write_sets(folder, make_set(24, 0), make_set(10, 1)), "--base", str(tiny_base), *OPTIONS]
        for name, folder in sides.items()
    }
    assert train.main([*given["one"], "--batch-size", "8"]) == 0
    launcher = shutil.which("deepspeed", path=str(Path(sys.executable).parent))
    assert launcher, "the deepspeed command is not beside python"
    launched = subprocess.run(
        [launcher, "--num_accelerators", "2", str(ROOT / "train.py"), *given["two"], "--batch-size", "4",
         "--deepspeed", str(ROOT / "configs" / "deepspeed" / "zero2.json")],
        env=os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-3000:]
    assert launched.stdout.count("written to") == 1, "one rank speaks"
    losses, probabilities = zip(*(outcome(only_run(folder)) for folder in sides.values()), strict=True)
    assert len(losses[0]) == 3
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=5e-3)


def outcome(run: RunFolder) -> tuple[list[float], np.ndarray]:
    """Logged training losses, and probabilities of the test cases."""
    logged = [json.loads(line) for line in (run.adapter / "log.jsonl").read_text().splitlines()]
    predicted = [json.loads(line)["probabilities"] for line in run.predictions.read_text().splitlines()]
    return [line["loss"] for line in logged if "loss" in line], np.array([list(one.values()) for one in predicted])
