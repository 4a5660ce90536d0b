"""Two CPU ranks under the `deepspeed` launcher learn what one process learns."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

import train
from tests.conftest import make_set
from tests.test_job import only_run, write_sets
from vlm_tsc.run import RunFolder

ROOT = Path(train.__file__).parent
OPTIONS = ["--num-epochs", "10", "--baselines", "none", "--precision", "fp32", "--lora-dropout", "0"]
OPTIONS += ["--augment", "1", "--run-name", "r"]


STARTED: list[subprocess.Popen[str]] = []
LONGEST = 500  # seconds for one training, on a machine that is busy with other things


@pytest.fixture(autouse=True)
def no_rank_left_behind():
    """Whatever a test ended with: a launcher that is killed alone leaves its ranks, which would wait for ever."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            kill(process)


ENVIRONMENT = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}


def beside_python(name: str) -> str:
    """The command `name` of this environment."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"the {name} command is not beside python"
    return found


def deepspeed_command(ranks: int, stage: str) -> list[str]:
    """`train.py` under DeepSpeed's launcher; options follow."""
    launcher = [beside_python("deepspeed"), "--num_accelerators", str(ranks), str(ROOT / "train.py")]
    return [*launcher, "--deepspeed", str(ROOT / "configs" / "deepspeed" / f"{stage}.json")]


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
    told = completed([*deepspeed_command(2, stage), *given["two"], "--batch-size", "4"])
    assert told.count("written to") == 1, "one rank speaks"
    losses, probabilities = zip(*(outcome(only_run(folder)) for folder in sides.values()), strict=True)
    assert len(losses[0]) == 3
    print(f"losses at most {np.max(np.abs(np.divide(losses[1], losses[0]) - 1)):.1e} apart")
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
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


FIRST_IS_BEST = """
import itertools, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
import train
from vlm_tsc.finetune import fit
from vlm_tsc.finetune.trainer import AnswerTrainer

scores, load = itertools.count(0, -1), AnswerTrainer._load_best_model
fit._validation_figures = lambda *_: {"score": float(next(scores))}

def checked(self):
    best = Path(self.state.best_model_checkpoint)
    assert best.name == "checkpoint-2", best
    weights = load_file(best / "model.safetensors")
    own = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
    assert any(not torch.equal(value.float(), weights[name].float()) for name, value in own.items())
    load(self)
    assert all(torch.equal(value.float(), weights[name].float()) for name, value in own.items())
    print("the best was loaded")

AnswerTrainer._load_best_model = checked
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed has no wheel here")
def test_a_whole_model_ends_as_its_best_checkpoint(tiny_base, tmp_path):
    given = [*write_sets(tmp_path, make_set(400, 0), make_set(4, 1)), "--base", str(tiny_base), *OPTIONS[2:]]
    given += ["--num-epochs", "1", "--batch-size", "80", "--checkpoint-steps", "2", "--method", "full"]
    known = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    ran = subprocess.run(
        [sys.executable, "-c", FIRST_IS_BEST, *given, "--deepspeed", "configs/deepspeed/zero2.json"],
        env=known | {"DS_ACCELERATOR": "cpu"}, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "the best was loaded" in ran.stdout


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed has no wheel here")
@pytest.mark.parametrize("stage", ["zero2", "zero3"])
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_ranks_goes_on(tiny_base, tmp_path, stage, before, after):
    sides = {"whole": tmp_path / "whole", "parts": tmp_path / "parts"}
    given = {}
    for name, folder in sides.items():
        folder.mkdir()
        given[name] = [*write_sets(folder, make_set(24, 0), make_set(10, 1)), "--base", str(tiny_base), *OPTIONS]
    assert train.main([*given["whole"], "--batch-size", "8"]) == 0
    options = [*given["parts"], "--batch-size", str(8 // before), "--checkpoint-steps", "10"]
    run = sides["parts"] / "runs" / "mine" / "r"
    kill_at(run / "checkpoints" / "checkpoint-10" / "trainer_state.json", [*deepspeed_command(before, stage), *options])
    assert not run.joinpath("adapter").exists(), "it was killed too late to show anything"
    completed([*deepspeed_command(after, stage), *options])
    losses, probabilities = zip(*(outcome(only_run(folder)) for folder in sides.values()), strict=True)
    assert len(losses[1]) == len(losses[0]) == 3
    print(f"losses at most {np.max(np.abs(np.divide(losses[1], losses[0]) - 1)):.1e} apart")
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=5e-3)


@pytest.mark.long
def test_of_two_machines_one_is_killed_and_the_job_started_again(tiny_base, tmp_path):
    """Two launchers that meet on a port stand for two machines; both see the run folder."""
    runs, given = {}, {}
    for name in ("whole", "parts"):
        folder = tmp_path / name
        folder.mkdir()
        data = [*write_sets(folder, make_set(24, 0), make_set(10, 1)), "--base", str(tiny_base), *OPTIONS]
        given[name] = [str(ROOT / "train.py"), *data, "--batch-size", "4", "--checkpoint-steps", "10"]
        runs[name] = folder / "runs" / "mine" / "r"
    finish(machines(given["whole"]))
    first, second = machines(given["parts"])
    wait_for(runs["parts"] / "checkpoints" / "checkpoint-10" / "trainer_state.json", first)
    kill(second)
    second.communicate()
    first.communicate(timeout=200)
    assert first.returncode != 0, "the first machine cannot go on alone"
    assert not runs["parts"].joinpath("adapter").exists()
    finish(machines(given["parts"]))
    whole, parts = (run / "adapter" / "adapter_model.safetensors" for run in (runs["whole"], runs["parts"]))
    assert whole.read_bytes() == parts.read_bytes()
    whole, parts = (outcome(RunFolder(run)) for run in (runs["whole"], runs["parts"]))
    assert whole[0] == parts[0] and (whole[1] == parts[1]).all()


def completed(command: list[str]) -> str:
    """What a launcher and its ranks print."""
    process = start(command)
    told, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, told[-3000:]
    return told


def finish(started: list[subprocess.Popen[str]]) -> None:
    told = [process.communicate(timeout=LONGEST)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], told


def machines(options: list[str]) -> list[subprocess.Popen[str]]:
    """One launcher with one rank for each of two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = [
        "--nnodes",
        "2",
        "--nproc_per_node",
        "1",
        "--rdzv_backend",
        "c10d",
        "--rdzv_endpoint",
        f"localhost:{port}",
    ]
    return [start([beside_python("torchrun"), *meeting, *options]) for _ in range(2)]


def start(command: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command, env=ENVIRONMENT, cwd=ROOT, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    STARTED.append(process)
    return process


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONGEST
    while not path.exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.01)


def kill_at(path: Path, command: list[str]) -> None:
    """Run `command` until `path` appears."""
    process = start(command)
    wait_for(path, process)
    kill(process)
    process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    """A launcher and its ranks, which may be in sessions of their own."""
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)


def outcome(run: RunFolder) -> tuple[list[float], np.ndarray]:
    """Logged training losses, and probabilities of the test cases."""
    logged = [json.loads(line) for line in (run.adapter / "log.jsonl").read_text().splitlines()]
    predicted = [json.loads(line)["probabilities"] for line in run.predictions.read_text().splitlines()]
    return [line["loss"] for line in logged if "loss" in line], np.array([list(one.values()) for one in predicted])
