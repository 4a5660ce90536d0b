"""eval/baselines.py as a person calls it, in this process."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ENTRY = Path(__file__).parents[2] / "eval" / "baselines.py"


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(ENTRY))["main"]  # nothing runs at import


def write_csv(path, n_cases, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n_cases) % 2
    lines = [",".join(["walk" if y else "run", *map(str, rng.normal(5 * y, 1, 6).round(3))]) for y in labels]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_it_runs_a_baseline_on_a_persons_own_file_and_ends_with_the_table(main, tmp_path, capsys):
    train, test = write_csv(tmp_path / "gait.csv", 12, 0), write_csv(tmp_path / "other.csv", 8, 1)
    assert main(["majority", "--dataset", str(train), "--test", str(test), "--vlm-root", str(tmp_path)]) == 0
    assert main(["1nn-ed", "--dataset", str(train), "--test", str(test), "--vlm-root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "12 train and 8 test cases" in out
    assert [line[:16].strip() for line in out.splitlines()[-4:-2]] == ["1NN-ED", "majority class"]
    assert len(list(tmp_path.glob("runs/*/*/metrics.json"))) == 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "Unknown baseline"),
        (["1nn-edd", "--dataset", "GunPoint"], "did you mean 1nn-ed?"),
        (["1nn-ed"], "--dataset is missing"),
        (["1nn-ed", "--dataset", "GunPoint", "--splt", "pooled"], "--split"),
    ],
)
def test_a_wrong_command_line_is_refused(main, argv, says, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert says in captured.err and "Traceback" not in captured.err


@pytest.mark.parametrize("name", ["masked-transformer", "vision-probe", "majority"])
def test_what_cannot_be_shared_is_refused_in_several_processes(main, name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as a launcher says it
    train, test = write_csv(tmp_path / "gait.csv", 12, 0), write_csv(tmp_path / "other.csv", 8, 1)
    assert main([name, "--dataset", str(train), "--test", str(test), "--vlm-root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"error: {name} runs in one process" in said and "2 processes" in said and "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_several_processes_of_a_launcher_end_with_the_error_alone(tmp_path):
    table = write_csv(tmp_path / "gait.csv", 12, 0)
    command = [sys.executable, str(ENTRY), "masked-transformer", "--dataset", str(table), "--vlm-root", str(tmp_path)]
    for rank in ("0", "1"):
        environment = {**os.environ, "WORLD_SIZE": "2", "RANK": rank, "PYTHONPATH": str(ENTRY.parents[1])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("error: masked-transformer runs in one process")
    assert [path.name for path in tmp_path.iterdir()] == ["gait.csv"]


def test_help_names_the_baselines(main, capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    assert "majority, 1nn-ed, 1nn-dtw" in capsys.readouterr().out.replace("\n", " ")
