"""Members over several processes: what two processes train is what one trains."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.classify.inception_time.test_training import SETTINGS, cases, made
from tests.conftest import make_set
from vlm_tsc.classify.epochs import STATE_FILE
from vlm_tsc.classify.inception_time import ensemble
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.inception_time.training import train
from vlm_tsc.classify.ranks import ALONE, Ranks, current_ranks, interleaved
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate import read_predictions

ROOT = Path(__file__).parents[3]
ENTRY = ROOT / "eval" / "baselines.py"
SMALL = ["--filters", "2", "--depth", "3", "--models", "3", "--batch-size", "8", "--lr", "0.01", "--epochs", "6"]


def test_shares_of_every_process_are_the_whole():
    state = {"weights": torch.arange(10.0).view(5, 2), "epoch": torch.tensor(7)}
    for count in (1, 2, 3, 5):
        shares = [Ranks(index, count).share(state) for index in range(count)]
        own = [Ranks(index, count).own(5) for index in range(count)]
        assert [share["weights"][:, 0].tolist() for share in shares] == [[2.0 * i for i in each] for each in own]
        whole = interleaved(shares)
        assert whole.keys() == state.keys() and all(torch.equal(whole[name], state[name]) for name in state)


def test_a_launchers_environment_alone_makes_no_process_wait_for_others(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert current_ranks() is ALONE


def test_more_processes_than_members_are_refused(monkeypatch):
    monkeypatch.setattr(ensemble, "current_ranks", lambda: Ranks(0, 3))
    with pytest.raises(InputError, match="more processes than networks"):
        ensemble.train_ensemble([np.zeros((1, 9))], np.zeros(1, int), ["a"], Hyperparameters(models=2))


def in_two_processes(*words, script=(ENTRY, "inception-time")):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *map(str, (*script, *words))], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(ENTRY))["main"]


FOUR_EPOCHS = """
import sys
from pathlib import Path
from tests.classify.inception_time.test_training import SETTINGS, cases
from vlm_tsc.classify.inception_time.network import InceptionTime
from vlm_tsc.classify.inception_time.training import train
from vlm_tsc.classify.ranks import join_processes
ranks = join_processes()
network = InceptionTime(1, 2, 2, 4, ranks.own(3), SETTINGS["random_state"]).double()
train(network, cases(), epochs=4, folder=Path(sys.argv[1]), fingerprint="a", ranks=ranks, **SETTINGS)
"""


def test_one_process_goes_on_from_what_two_left(tmp_path):
    (tmp_path / "four.py").write_text(FOUR_EPOCHS)
    in_two_processes(tmp_path / "two", script=(tmp_path / "four.py",))
    assert load_file(tmp_path / "two" / STATE_FILE)["epoch"] == 4
    networks = [made(), made()]
    for network, name in zip(networks, ("one", "two"), strict=True):
        train(network, cases(), epochs=6, folder=tmp_path / name, fingerprint="a", **SETTINGS)
    for name, value in networks[0].state_dict().items():
        torch.testing.assert_close(networks[1].state_dict()[name], value, rtol=1e-7, atol=1e-7)
    (first, _), (second, _) = (logged(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(second, first, rtol=1e-5)


def logged(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return np.array([list(line.values()) for line in lines]), list(lines[0])


def assert_same_model(one, two):
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    for name, value in weights[0].items():
        # Adam divides rounding by rounding where a gradient is almost zero
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)
    (first, names), (second, _) = logged(one), logged(two)
    assert len(first) == 6 and names[:3] == ["epoch", "train_loss", "train_accuracy"]
    np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-5)


def test_two_processes_train_from_tables_what_one_trains(main, tmp_path, capsys):
    samples = ROOT / "samples" / "headerless"
    tables = ["--training", samples / "train.csv", "--validation", samples / "valid.csv"]
    one, two = (["train", *tables, *SMALL, "--model-dir", tmp_path / name] for name in ("one", "two"))
    assert main(["inception-time", *map(str, one)]) == 0
    assert in_two_processes(*two) == capsys.readouterr().out.replace("/one", "/two"), "one process speaks, once"
    assert_same_model(tmp_path / "one", tmp_path / "two")
    assert logged(tmp_path / "two")[1][3:] == ["valid_loss", "valid_accuracy"]


def test_a_run_of_two_processes_is_the_run_of_one(main, tmp_path, capsys):
    slopes = make_set(20, 0)
    for name, part in (("up.csv", slopes), ("up_test.csv", make_set(8, 1))):
        rows = [",".join([label, *map(str, case[0])]) for case, label in zip(part.X, part.y, strict=True)]
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    data = ["--dataset", tmp_path / "up.csv", "--test", tmp_path / "up_test.csv", *SMALL]
    assert main(["inception-time", *map(str, data), "--vlm-root", str(tmp_path / "one")]) == 0
    said = in_two_processes(*data, "--vlm-root", tmp_path / "two")
    assert said.count("InceptionTime") == capsys.readouterr().out.count("InceptionTime") == 1
    one, two = (next((tmp_path / name).glob("runs/*/*")) for name in ("one", "two"))
    assert_same_model(one / "model", two / "model")
    first, second = (read_predictions(run / "predictions.jsonl") for run in (one, two))
    assert [row.predicted for row in first] == [row.predicted for row in second]
    assert (two / "metrics.json").exists() and not (two / "model" / "state.safetensors").exists()
