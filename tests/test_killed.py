"""kill -9 at any moment, then the same command again: the same bytes and the same metrics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
from tests.test_job import make_set, only_run, write_sets

ROOT = Path(train.__file__).parent
OPTIONS = ["--num-epochs", "8", "--batch-size", "4", "--baselines", "none", "--precision", "fp32"]
OPTIONS += ["--checkpoint-steps", "3", "--run-name", "r"]
MOMENTS = {
    "pictures": "images/*.png",
    "records": "train.json",
    "a checkpoint being written": "checkpoints/checkpoint-3",
    "training": "checkpoints/checkpoint-12/trainer_state.json",
    "evaluation": "adapter/base.json",
}
TIMES = {"train_seconds", "predict_seconds", "peak_memory_mb"}


def command(folder: Path, base: Path) -> list[str]:
    return [*write_sets(folder, make_set(12, 0), make_set(40, 1)), "--base", str(base), *OPTIONS]


@pytest.fixture(scope="module")
def uninterrupted(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert train.main(command(folder, tiny_base)) == 0
    return only_run(folder)


@pytest.mark.parametrize("moment", [*MOMENTS])
@pytest.mark.long
def test_killed_and_run_again(uninterrupted, tiny_base, tmp_path, moment):
    given = command(tmp_path, tiny_base)
    run = tmp_path / "runs" / "mine" / "r"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *given],
        start_new_session=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(run.glob(MOMENTS[moment])) and process.poll() is None:
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / "metrics.json").exists(), "it was killed too late to show anything"
    assert train.main(given) == 0
    for path in sorted(uninterrupted.path.rglob("*")):
        name = path.relative_to(uninterrupted.path)
        timed = name.name in ("manifest.json", "config.yaml", "metrics.json", "base.json", "log.jsonl", "README.md")
        if path.is_file() and not timed:
            assert path.read_bytes() == (run / name).read_bytes(), name
    ours, theirs = (json.loads(path.read_text()) for path in (run / "metrics.json", uninterrupted.metrics))
    assert {key: value for key, value in ours.items() if key not in TIMES} == {
        key: value for key, value in theirs.items() if key not in TIMES
    }
