"""MLflow's page of the store beside the runs, also of one that was moved after it was written."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from vlm_tsc.mlflow_store import Store, place_now
from vlm_tsc.use.address import listening
from vlm_tsc.use.mlflow import find_files_beside, main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A folder of runs that was moved after a run with a file was logged and registered, and the run's id."""
    folder = tmp_path_factory.mktemp("moved") / "a b"  # MLflow keeps it as a%20b
    (folder / "encoder").mkdir(parents=True)
    (folder / "encoder" / "weights.txt").write_text("12")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store(folder / "old")
        run = store.log_run("pretrain", "first", parameters={"a": 1}, files=[folder / "encoder"])
        store.register("tiny", run, "0")
    return Path(shutil.move(folder / "old", folder / "new")), run


@pytest.fixture
def as_before():
    """Afterwards MLflow in this process finds files as it did."""
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry

    with pytest.MonkeyPatch.context() as patch:
        known = _artifact_repository_registry.get_registered_artifact_repositories()
        patch.setitem(known, "file", known["file"])
        yield


def test_the_files_of_a_moved_store_are_found_and_its_database_is_as_it_was(moved, as_before):
    from mlflow import MlflowClient

    runs, run = moved
    before = hashlib.sha256((runs / "mlflow.db").read_bytes()).digest()
    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    assert client.list_artifacts(run) == []
    find_files_beside(runs)
    assert [item.path for item in client.list_artifacts(run, "encoder")] == ["encoder/weights.txt"]
    assert Path(client.download_artifacts(run, "encoder/weights.txt")).read_text() == "12"
    assert hashlib.sha256((runs / "mlflow.db").read_bytes()).digest() == before


def test_only_folders_beside_the_database_are_taken(moved, tmp_path):
    runs, run = moved
    assert place_now(f"file:///elsewhere/mlflow-artifacts/pretrain/{run}/artifacts", runs) is not None
    for location in ("file:///tmp", "file:///a/mlflow-artifacts/../../..", "s3://a/mlflow-artifacts/none", ""):
        assert place_now(location, runs) is None


def test_a_folder_without_a_store_is_refused_and_none_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    said = capsys.readouterr().err
    assert "nothing was logged" in said and "runs/mlflow.db" in said and not list(tmp_path.iterdir())


def test_a_busy_port_is_told(tmp_path, capsys):
    (tmp_path / "mlflow.db").touch()
    with listening("127.0.0.1", 0) as listener:
        assert main([str(tmp_path), "--port", str(listener.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert "the port is taken" in said and "--port" in said and "Errno" not in said


@pytest.mark.long
def test_the_page_opens_and_has_the_files_of_a_moved_store(moved):
    runs, run = moved
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "vlm_tsc.use.mlflow", str(runs), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    page = f"http://127.0.0.1:{port}"
    try:
        assert "MLflow" in asked(page)
        (item,) = json.loads(asked(f"{page}/ajax-api/2.0/mlflow/artifacts/list?run_id={run}&path=encoder"))["files"]
        assert item["path"] == "encoder/weights.txt"
        assert asked(f"{page}/get-artifact?run_uuid={run}&path=encoder/weights.txt") == "12"
        assert asked(f"{page}/model-versions/get-artifact?name=tiny&version=1&path=weights.txt") == "12"
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


@pytest.mark.long
def test_what_is_no_database_is_told(tmp_path):
    (tmp_path / "mlflow.db").write_text("nothing of the kind, and long enough to be looked at" * 9)
    command = [sys.executable, "-m", "vlm_tsc.use.mlflow", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "MLflow cannot open this database" in done.stderr and "Traceback" not in done.stderr


def asked(address):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise TimeoutError(address)
