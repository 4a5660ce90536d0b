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
from safetensors.numpy import load_file

import train
from tests.conftest import make_set
from tests.test_job import only_run, write_sets
from vlm_tsc.run import RunFolder

ROOT = Path(train.__file__).parent
OPTIONS = ["--num-epochs", "10", "--baselines", "none", "--precision", "fp32", "--lora-dropout", "0"]
OPTIONS += ["--augment", "1", "--run-name", "r"]


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed has no wheel here")
@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_two_ranks_equal_one_process_of_twice_the_batch(tiny_base, tmp_path, stage):
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
         "--deepspeed", str(ROOT / "configs" / "deepspeed" / f"{stage}.json")],
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
    weights = [load_file(only_run(sides[name]).adapter / "adapter_model.safetensors") for name in ("one", "two")]
    assert {name: value.shape for name, value in weights[1].items()} == {n: v.shape for n, v in weights[0].items()}
    for name, value in weights[0].items():  # whole, and nothing of it is still as it was at the start
        np.testing.assert_allclose(weights[1][name], value, atol=5e-3)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed has no wheel here")
def test_without_a_launcher_deepspeed_has_one_rank(tiny_base, tmp_path):
    """In a process of its own: DeepSpeed leaves a process group behind."""
    given = [*write_sets(tmp_path, make_set(8, 0), make_set(4, 1)), "--base", str(tiny_base), *OPTIONS[2:]]
    given += ["--num-epochs", "1", "--batch-size", "4", "--deepspeed", "configs/deepspeed/zero3.json"]
    known = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    ran = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *given],
        env=known | {"DS_ACCELERATOR": "cpu"}, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert (only_run(tmp_path).adapter / "adapter_model.safetensors").exists()


def outcome(run: RunFolder) -> tuple[list[float], np.ndarray]:
    """Logged training losses, and probabilities of the test cases."""
    logged = [json.loads(line) for line in (run.adapter / "log.jsonl").read_text().splitlines()]
    predicted = [json.loads(line)["probabilities"] for line in run.predictions.read_text().splitlines()]
    return [line["loss"] for line in logged if "loss" in line], np.array([list(one.values()) for one in predicted])
