"""`--report-to`: the curves are where they are said to be, without an account, and the environment is as before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import train
from tests.conftest import make_set
from tests.test_job import FAST, only_run, write_sets


@pytest.fixture
def trained(tiny_base, tmp_path, monkeypatch):
    """Run train.py with `--report-to` on a machine where nobody is logged in anywhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "TENSORBOARD_"))]:
        monkeypatch.delenv(name)

    def run(report_to: str) -> Path:
        before = dict(os.environ)
        given = [*write_sets(tmp_path, make_set(12, 0), make_set(4, 1)), "--base", str(tiny_base), *FAST]
        steps = ["--num-epochs", "4"]  # of 3 steps: the loss is logged every 10
        assert train.main([*given, *steps, "--report-to", report_to]) == 0
        assert not {name for name in os.environ if name not in before and name.startswith(("WANDB_D", "MLFLOW_T"))}
        return only_run(tmp_path).path

    return run


def test_tensorboard_writes_into_the_run(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained("tensorboard")
    (events,) = (run / "tensorboard").rglob("events*")
    read = EventAccumulator(str(events))
    read.Reload()
    losses = read.Scalars("train/loss")
    assert [one.step for one in losses] == [10] and losses[0].value > 0


def test_mlflow_writes_one_database_for_all_runs(trained):
    from mlflow import MlflowClient

    run = trained("mlflow")
    client = MlflowClient(f"sqlite:///{run.parent.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vlm-tsc")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == f"mine-{run.name}" and found.info.status == "FINISHED"
    assert [one.step for one in client.get_metric_history(found.info.run_id, "loss")] == [10]


def test_wandb_is_offline_when_nobody_is_logged_in(trained, caplog):
    run = trained("wandb")
    assert "offline" in caplog.text and "not logged in" in caplog.text
    (logged,) = (run / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"train/loss" in logged.read_bytes()
