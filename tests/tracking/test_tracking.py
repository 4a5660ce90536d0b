"""`--report-to`: curves, results and files are in every tracker under the same names, once, and lead to each other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import train
from tests.tracking.conftest import ALL, Tracked
from vlm_tsc.config import load_settings, settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.run import RunFolder
from vlm_tsc.tracking import live, log_finished
from vlm_tsc.tracking.facts import curve, figures


def events_of(run: RunFolder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run.tensorboard))
    read.Reload()
    return read


def mlflow_run(tracked: Tracked):
    from mlflow import MlflowClient

    client = MlflowClient(tracked.uri, registry_uri=tracked.uri)
    experiment = client.get_experiment_by_name("finetune")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    return client, found


def wandb_bytes(run: RunFolder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(run.path.glob("wandb/offline-run-*/*.wandb")))


def test_every_tracker_has_the_curve_and_the_results_under_the_same_names(tracked):
    expected = figures(tracked.metrics)
    assert expected["test/accuracy"] == tracked.metrics["accuracy"] and "cost/train_seconds" in expected
    curves = {"train/loss", "train/learning_rate", "train/grad_norm", "train/epoch"}
    client, run = mlflow_run(tracked)
    assert set(run.data.metrics) == {*curves, *expected}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)
    events = events_of(tracked.run)
    assert {*curves, *expected} <= set(events.Tags()["scalars"])
    assert events.Scalars("test/accuracy")[-1].value == pytest.approx(expected["test/accuracy"])
    logged = wandb_bytes(tracked.run)
    assert not [name for name in {*curves, *expected} if name.encode() not in logged]
    history = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "train/loss")]
    lines = [json.loads(line) for line in (tracked.run.adapter / "log.jsonl").read_text().splitlines()]
    assert history == [(line["step"], line["loss"]) for line in lines if "loss" in line] and history[0][0] == 10
    assert [one.step for one in events.Scalars("train/loss")] == [10]


def test_run_folder_and_trackers_lead_to_each_other(tracked):
    _, run = mlflow_run(tracked)
    states = tracked.states
    assert states["mlflow"]["id"] == run.info.run_id and run.info.status == "FINISHED"
    assert run.data.params["run_folder"] == str(tracked.run.path.resolve())
    assert run.data.params["learning_rate"] == str(load_settings(tracked.run.config).learning_rate)
    assert run.info.run_name == f"mine-{tracked.run.path.name}"
    assert len(list(tracked.run.path.glob(f"wandb/offline-run-*-{states['wandb']['id']}"))) == 2  # training, results
    assert str(tracked.run.path.resolve()).encode() in wandb_bytes(tracked.run)
    text = events_of(tracked.run).Tensors("parameters/text_summary")[0].tensor_proto.string_val[0].decode()
    assert str(tracked.run.path.resolve()) in text


def test_the_confusion_matrix_report_settings_and_adapter_are_artifacts(tracked, tmp_path):
    client, run = mlflow_run(tracked)
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    expected = {"confusion_matrix.png", "confusion_matrix.json", "report.html", "metrics.json", "config.yaml", "model"}
    assert expected <= names
    matrix = json.loads(read(client, run, "confusion_matrix.json", tmp_path))
    assert matrix["confusion_matrix"] == tracked.metrics["confusion_matrix"]
    (adapter,) = (tracked.run.path.parent.parent / "mlflow-artifacts").rglob("adapter_model.safetensors")
    assert adapter.read_bytes() == (tracked.run.adapter / "adapter_model.safetensors").read_bytes()
    logged = wandb_bytes(tracked.run)
    for name in ("confusion_matrix.png", "confusion_matrix.json", "report.html", "adapter_model.safetensors"):
        assert name.encode() in logged
    picture = events_of(tracked.run).Images("test/confusion_matrix")[0]
    assert picture.width > 100 and picture.height > 100


def read(client, run, name, folder) -> str:
    from pathlib import Path

    return Path(client.download_artifacts(run.info.run_id, name, str(folder))).read_text()


def test_wandb_is_offline_when_nobody_is_logged_in_and_says_how_to_sync(tracked):
    (line,) = [line for line in tracked.document["notes"] if line.startswith("wandb")]
    assert line in tracked.errors and "offline" in line
    pattern = line.split("wandb sync ")[1]
    assert pattern.endswith(tracked.states["wandb"]["id"])
    staged = list(tracked.run.path.glob("wandb/artifacts/staging/*"))
    assert staged  # what waits to be sent lies beside the run


def test_mlflow_says_which_command_shows_the_run(tracked):
    (line,) = [line for line in tracked.document["notes"] if line.startswith("mlflow")]
    assert f"python -m vlm_tsc.use.mlflow {tracked.run.path.parent.parent}" in line


def test_the_environment_is_as_before(tracked):
    before, after = tracked.environments
    changed = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    ours = {name for name in changed if name.startswith(("WANDB_", "MLFLOW_", "TENSORBOARD_"))}
    assert ours <= {"WANDB_SERVICE"}  # by which wandb finds its own process again


def test_a_finished_run_is_logged_once(tracked, capsys):
    client, run = mlflow_run(tracked)
    before = {path: path.stat().st_size for path in tracked.run.path.glob("[wt]*b*/**/*") if path.is_file()}
    states = tracked.run.tracking.read_bytes()
    assert train.main(tracked.words) == 0
    assert "wandb sync" in capsys.readouterr().out
    client, again = mlflow_run(tracked)  # one run still
    assert again.info.run_id == run.info.run_id and tracked.run.tracking.read_bytes() == states
    assert before == {path: path.stat().st_size for path in tracked.run.path.glob("[wt]*b*/**/*") if path.is_file()}
    assert len(client.get_metric_history(run.info.run_id, "test/accuracy")) == 1
    assert len(client.search_model_versions(f"name = '{run.info.run_name}'")) == 1


def test_a_run_that_was_not_tracked_is_logged_whole_from_its_files(tracked, tmp_path):
    run = RunFolder(tmp_path / "runs" / "mine" / "copy")
    shutil.copytree(tracked.run.path, run.path, ignore=shutil.ignore_patterns("tracking.json", "tensorboard", "wandb"))
    log_finished(("tensorboard",), run)
    assert [one.step for one in events_of(run).Scalars("train/loss")] == [10]


def test_a_resumed_training_tells_no_step_twice_that_was_told_whole(tracked, tmp_path):
    run = RunFolder(tmp_path / "runs" / "mine" / "copy")
    shutil.copytree(tracked.run.path, run.path, ignore=shutil.ignore_patterns("tracking.json", "tensorboard", "wandb"))
    with pytest.raises(RuntimeError), live(("tensorboard",), run) as tell:
        for step in (10, 20, 30):
            tell(step, {"loss": float(step), "epoch": 1.0})
        raise RuntimeError("killed")
    with live(("tensorboard",), run) as tell:
        for step in (10, 20, 30, 40):
            tell(step, {"loss": float(step), "epoch": 1.0})
            tell(step, {"eval_accuracy": 0.5})
    told = [one.step for one in events_of(run).Scalars("train/loss")]
    assert sorted(set(told)) == [10, 20, 30, 40] and told.count(10) == told.count(20) == 1
    assert 30 in [one.step for one in events_of(run).Scalars("validation/accuracy")]  # was not told before the kill


def test_a_tracker_that_cannot_be_reached_is_named_and_the_others_are_told(tracked, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = RunFolder(tmp_path / "runs" / "mine" / "copy")
    shutil.copytree(tracked.run.path, run.path, ignore=shutil.ignore_patterns("tracking.json", "tensorboard", "wandb"))
    with pytest.raises(InputError, match="could not be logged to mlflow"):
        log_finished(("mlflow", "tensorboard"), run)
    assert events_of(run).Scalars("test/accuracy")
    with pytest.raises(InputError, match="mlflow cannot be used"), live(("mlflow",), run):
        pass


def test_trackers_are_a_list_on_the_command_line_and_in_yaml():
    assert settings_from({"report_to": ALL}).report_to == ("wandb", "mlflow", "tensorboard")
    assert settings_from({"report_to": ["mlflow", "wandb"]}).report_to == ("mlflow", "wandb")
    assert settings_from({"report_to": "none"}).report_to == settings_from({}).report_to == ()
    with pytest.raises(InputError, match="report_to"):
        settings_from({"report_to": "wandb,excel"})


def test_a_line_that_only_says_when_it_was_is_no_point_of_a_curve():
    assert curve({"epoch": 1.0, "train_runtime": 3.0}) == {}
    assert curve({"eval_accuracy": 0.5, "eval_score": 1.0}) == {"validation/accuracy": 0.5}


def test_what_json_says_of_the_run(tracked):
    (run,) = tracked.document["runs"]
    assert run["folder"] == str(tracked.run.path) and run["metrics"] == tracked.metrics
    assert run["report"] == str(tracked.run.report) and run["counts"]["test"] == {"down": 2, "up": 2}
    np.testing.assert_equal(len(tracked.document["notes"]), 3)
