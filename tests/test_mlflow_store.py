"""The MLflow store beside the runs: an encoder goes into the registry and comes out the same; curves and figures."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_set
from tests.evaluate.test_masked import main  # noqa: F401  # a fixture
from vlm_tsc import mlflow_store
from vlm_tsc.classify.masked_transformer.encoder_folder import read_encoder
from vlm_tsc.classify.masked_transformer.options import RunOptions
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.masked import chosen_encoder
from vlm_tsc.mlflow_store import Store
from vlm_tsc.pretrain.__main__ import main as pretrain

WAITS = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
YAML = """
name: tiny
task: mae
datasets: [Waves]
steps: 25
batch_size: 4
shape: {length: 16, patch: 4, width: 8, layers: 1, heads: 2}
"""


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A root whose registry has version 1 of `tiny` with seed 0, and version 2 with seed 1."""
    root = tmp_path_factory.mktemp("root")
    (root / "tiny.yaml").write_text(YAML)
    for name in ("Waves", "Slopes"):
        (root / "data" / name).mkdir(parents=True)
        for part, n_cases in (("TRAIN", 8), ("TEST", 6)):
            cases = make_set(n_cases, len(part))
            np.savez(root / "data" / name / f"{name}_{part}.npz", X=cases.X, y=cases.y)
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for seed in ("0", "0", "1"):  # the second is the first once more: it gets no version of its own
        words = ["masked", "--conf-file", str(root / "tiny.yaml"), "--data-dir", str(root / "data"), "--seed", seed]
        words += ["--vlm-root", str(root), "--work-dir", str(root / f"work{seed}"), "--workers", "0", "--register"]
        assert pretrain(words) == 0
    yield root
    patch.undo()


def test_what_was_registered_comes_out_by_name_and_version(registered):
    runs = registered / "runs"
    for version, seed in ((1, 0), (2, 1)):
        for options in ({"enc_ver": version}, {"enc_version": version}):
            found, label = chosen_encoder(RunOptions(enc_name="tiny", **options), runs)
            assert label == f"tiny-v{version}"
            assert found.facts == read_encoder(registered / f"work{seed}" / "encoder").facts
    assert chosen_encoder(RunOptions(enc_name="tiny"), runs)[1] == "tiny-v2"
    assert sorted(path.name for path in runs.iterdir() if path.name.startswith("mlflow")) == [
        "mlflow-artifacts",
        "mlflow.db",
    ]


def test_the_pretraining_is_in_its_experiment(registered):
    client = Store(registered / "runs").client
    experiment = client.get_experiment_by_name("pretrain")
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == 2 and {run.info.status for run in found} == {"FINISHED"}
    assert found[0].data.params["task"] == "mae" and found[0].data.params["sets"] == "Waves"
    assert [one.step for one in client.get_metric_history(found[0].info.run_id, "loss")] == [25]


def test_unknown_names_and_versions_are_refused_with_those_there_are(registered):
    store = Store(registered / "runs")
    with pytest.raises(InputError, match="no encoder of this name") as caught:
        store.encoder_folder("other")
    assert "tiny" in str(caught.value)
    with pytest.raises(InputError, match="no such version") as caught:
        store.encoder_folder("tiny", 3)
    assert "1, 2" in str(caught.value)
    with pytest.raises(InputError, match="no encoder of this name"):
        store.encoder_folder("it's")


def test_fine_tuning_takes_it_from_the_registry_and_reports(registered, main):  # noqa: F811
    words = ["masked-transformer", "--dataset", "Slopes", "--data-dir", str(registered / "data"), "--enc-name", "tiny"]
    words += ["--enc-ver", "1", "--vlm-root", str(registered), "--epochs", "3", "--report-to", "mlflow"]
    assert main(words) == 0
    (folder,) = (registered / "runs" / "Slopes").iterdir()
    assert folder.name == "masked-transformer-tiny-v1-epochs3"
    document = json.loads((folder / "metrics.json").read_text())
    assert (document["encoder"], document["encoder_sets"]) == ("tiny-v1", ["Waves"])
    assert main(words) == 0  # the run is finished: it is not logged once more
    client = Store(registered / "runs").client
    (run,) = client.search_runs([client.get_experiment_by_name("finetune").experiment_id])
    assert run.data.metrics["accuracy"] == pytest.approx(document["accuracy"])
    assert [one.step for one in client.get_metric_history(run.info.run_id, "train_loss")] == [1, 2, 3]
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"confusion_matrix.json", "confusion_matrix.png", "embedding.png", "metrics.json", "config.yaml"} <= names
    matrix = Path(client.download_artifacts(run.info.run_id, "confusion_matrix.json"))
    assert json.loads(matrix.read_text())["confusion_matrix"] == document["confusion_matrix"]
    picture = Path(client.download_artifacts(run.info.run_id, "confusion_matrix.png"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*words[:2], "Waves", *words[3:]]) == 2  # it has seen that set


@pytest.fixture
def moved(registered, tmp_path):
    """The project in another folder; the old one is not there for it."""
    shutil.copytree(registered / "runs", tmp_path / "new" / "runs")
    hidden = registered.with_name("hidden")
    registered.rename(hidden)
    yield tmp_path / "new"
    hidden.rename(registered)


def test_a_moved_project_keeps_its_encoders_and_goes_on_logging_where_it_is(moved, registered):
    store = Store(moved / "runs")
    folder, version = store.encoder_folder("tiny")
    assert version == 2 and folder.is_relative_to(moved) and read_encoder(folder).facts["name"] == "tiny"
    run = store.log_run("pretrain", "again", parameters={}, files=[folder])
    assert (moved / "runs" / "mlflow-artifacts" / "pretrain" / run / "artifacts" / "encoder").is_dir()
    assert not registered.exists()
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="files of this encoder are gone"):
        store.encoder_folder("tiny", 2)


def test_a_deleted_experiment_is_logged_under_again(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = Store(tmp_path)
    first = store.experiment("pretrain")
    store.client.delete_experiment(first)
    run = store.log_run("pretrain", "again", parameters={"a": 1})
    assert store.client.get_run(run).info.experiment_id == first


def test_a_broken_database_is_one_message(registered, main, tmp_path, capsys):  # noqa: F811
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_bytes(b"half of it" * 500)
    words = ["masked-transformer", "--dataset", "Slopes", "--data-dir", str(registered / "data"), "--enc-name", "tiny"]
    assert main([*words, "--vlm-root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "MLflow's store cannot be opened" in said and "mlflow.db" in said


def test_a_server_that_nobody_runs_is_told_at_once_and_without_a_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    for name in WAITS:
        monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    with pytest.raises(InputError, match="MLflow's store cannot be opened") as caught:
        Store(tmp_path).encoder_folder("tiny")
    assert time.monotonic() - began < 60 and "secret" not in str(caught.value)
    assert not set(WAITS) & set(os.environ)


def test_how_long_a_server_is_waited_for_is_the_users_choice_and_less_only_while_opening(monkeypatch):
    monkeypatch.setenv(WAITS[0], "5")
    monkeypatch.delenv(WAITS[1], raising=False)
    with mlflow_store._impatient():
        assert (os.environ[WAITS[0]], os.environ[WAITS[1]]) == ("5", "10")
    assert os.environ[WAITS[0]] == "5" and WAITS[1] not in os.environ
