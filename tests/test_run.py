"""The run folder, its manifest, and the promise that nothing stale is used."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vlm_tsc import manifest as manifests
from vlm_tsc.config import Settings, settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.manifest import (
    Manifest,
    begin_stage,
    check_stage,
    data_hash,
    finish_stage,
    read_manifest,
    stale,
    versions,
    write_manifest,
)
from vlm_tsc.run import (
    NEUTRAL,
    RunFolder,
    data_settings,
    default_run_name,
    peak_gpu_memory_mb,
    peak_memory_mb,
    run_folder,
    training_settings,
)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def name_of(**values) -> str:
    return default_run_name(settings_from(values), seed=0)


# --- the folder and its name


def test_files_of_the_design():
    names = {
        getattr(RunFolder(Path("x")), name).name for name, part in vars(RunFolder).items() if type(part) is property
    }
    design = (
        "config.yaml manifest.json series.npz images train.json validation.json test.json adapter predictions.jsonl"
    )
    assert names == {
        *design.split(),
        "metrics.json",
        "report.html",
        "checkpoints",
        "members",
        "explain",
        "tracking.json",
        "tensorboard",
    }


def test_default_name_is_readable():
    assert name_of() == "plot-llava-mini-image-only-seed0"
    assert name_of(split="pooled", data_repr="WITH_STATS") == "plot-llava-mini-with-stats-pooled-seed0"
    assert name_of(split="resample:3") == "plot-llava-mini-image-only-resample-3-seed0"
    assert name_of(base="llava-1.5-7b") == "llava-1.5-7b-baseline-seed0"


def test_other_settings_have_another_name():
    changed = {"round_to": 3, "downsample": 2, "lora_r": 3, "num_epochs": 2, "trainable": "vision", "lengths": "pad"}
    names = [name_of(), *(name_of(**{key: value}) for key, value in changed.items())]
    names += [name_of(base="a/llava"), name_of(base="b/llava"), name_of(test="other.csv"), name_of(**changed)]
    assert len(set(names)) == len(names)
    assert name_of(lora_r=3) == name_of(lora_r=3)
    assert name_of(**{key: getattr(settings_from({}), key) for key in ("round_to", "lora_r", "augment")}) == name_of()


def test_what_changes_no_result_changes_no_name():
    assert set(NEUTRAL) <= set(Settings.model_fields)
    assert name_of(workers=2, debug=True, resume=True, answers="generate", data_dir="/x", vlm_root="/y") == name_of()


def test_a_base_in_a_folder_gives_a_safe_name(tmp_path):
    folder = tmp_path / "my llava (v2)"
    folder.mkdir()
    name = name_of(base=str(folder))
    assert name.startswith("my-llava-v2-baseline-seed0-")


def test_run_folder_paths():
    settings = settings_from({"vlm_root": "/root", "seed": 4})
    assert run_folder(settings, "GunPoint").path == Path("/root/runs/GunPoint/plot-llava-mini-image-only-seed4")
    assert run_folder(settings, "GunPoint", seed=2).config.parent.name == "plot-llava-mini-image-only-seed2"
    assert run_folder(settings_from({"run_name": "mine"}), "GunPoint").path == Path("runs/GunPoint/mine")
    several = settings_from({"run_name": "mine", "seeds": [0, 1]})
    assert {run_folder(several, "X", seed).path.name for seed in (0, 1)} == {"mine-seed0", "mine-seed1"}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\nb", "x" * 201, "a.", "-x"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(InputError, match="name a folder of runs"):
        run_folder(settings_from({}), name)
    with pytest.raises(InputError):
        settings_from({"run_name": name})


def test_settings_that_determine_data_and_training():
    settings = settings_from({"dataset": "X", "seed": 3, "lora_r": 5})
    data, training = data_settings(settings), training_settings(settings)
    assert {"split", "round_to", "downsample", "context_length", "data_repr", "base", "seed"} <= set(data)
    assert not {"dataset", "lora_r", "workers", "vlm_root"} & set(data)
    assert data.items() <= training.items()
    assert training["lora_r"] == 5
    json.dumps(training)


# --- the hash


def test_hash_sees_everything_that_determines_the_data():
    a = np.arange(6.0).reshape(1, 2, 3)
    labels = np.array(["1", "-1"])
    first = data_hash({"b": 1, "a": 2}, [a, labels, "text"])
    assert first == data_hash({"a": 2, "b": 1}, iter([a.copy(), labels.copy(), "text"]))
    assert first == data_hash({"a": 2, "b": 1}, [np.asfortranarray(a), labels, "text"])
    assert first == data_hash({"a": 2, "b": 1}, [a.astype(">f8"), labels.astype(object), "text"])
    others = [
        data_hash({"a": 2, "b": 2}, [a, labels, "text"]),
        data_hash({"a": 2, "b": 1}, [a + 1e-12, labels, "text"]),
        data_hash({"a": 2, "b": 1}, [a.reshape(1, 3, 2), labels, "text"]),
        data_hash({"a": 2, "b": 1}, [a.astype(np.float32), labels, "text"]),
        data_hash({"a": 2, "b": 1}, [a, labels[::-1], "text"]),
        data_hash({"a": 2, "b": 1}, [labels, a, "text"]),
        data_hash({"a": 2, "b": 1}, [a, labels, "te", "xt"]),
        data_hash({"a": 2, "b": 1}),
    ]
    assert len({first, *others}) == 1 + len(others)
    assert len(first) == 64


# --- the manifest


def test_manifest_comes_back(run):
    assert read_manifest(run) is None
    manifest = Manifest(
        data_hash="h", commit="c", versions={"numpy": "2"}, counts={"train": {"1": 3}}, details={"k": [1]}
    )
    write_manifest(run, manifest)
    assert read_manifest(run) == manifest


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b'{\n "data_hash": "x",\n "counts": {,\n}\n', "manifest.json, line 3, column 13"),
        (b"", "line 1"),
        (b'{"data_hash": "x"', "line 1"),
        (b"\xff\xfe\xff", "no JSON"),
        (b"[]", "the manifest is wrong"),
        (b'{"counts": {"train": 3}}', "the manifest is wrong: counts.train"),
        (b'{"hash": "x"}', "the manifest is wrong: hash"),
    ],
)
def test_corrupt_manifest(run, content, part):
    run.path.mkdir()
    run.manifest.write_bytes(content)
    with pytest.raises(InputError) as caught:
        check_stage(run, "data", "h")
    assert part in str(caught.value)
    assert "manifest.json" in str(caught.value)


# --- stages


def test_a_stage_from_nothing_to_done(run):
    outputs = [run.train, run.test]
    assert check_stage(run, "data", "aaa", outputs) == "fresh"
    begin_stage(run, "data", "aaa", outputs)
    run.train.write_text("[]")
    assert check_stage(run, "data", "aaa", outputs) == "partial", "killed here, it goes on from here"
    begin_stage(run, "data", "aaa", outputs)
    assert run.train.exists(), "what was begun with the same hash is kept"
    run.test.write_text("[]")
    manifest = finish_stage(run, "data", "aaa", counts={"train": {"1": 2}}, details={"factor": 2})
    assert (manifest.data_hash, manifest.counts, manifest.details) == ("aaa", {"train": {"1": 2}}, {"factor": 2})
    assert check_stage(run, "data", "aaa", iter(outputs)) == "done"
    run.test.unlink()
    assert check_stage(run, "data", "aaa", outputs) == "partial", "an output is gone"


def test_output_of_another_hash_is_told_and_never_used(run, caplog):
    begin_stage(run, "data", "aaa")
    run.images.mkdir()
    (run.images / "train-00000.png").write_bytes(b"old")
    run.train.write_text("old")
    finish_stage(run, "data", "aaa")
    with caplog.at_level(logging.WARNING):
        assert check_stage(run, "data", "bbb", [run.train, run.images]) == "stale"
    assert "the data here is of other settings or series (aaa, now bbb); it is not used" in caplog.text
    assert "--run-name" in str(stale(run, "data"))
    begin_stage(run, "data", "bbb", [run.train, run.images])
    assert not run.train.exists()
    assert not run.images.exists()
    assert check_stage(run, "data", "bbb", [run.train]) == "partial"


def test_a_kill_between_removing_and_noting_loses_no_truth(run, monkeypatch):
    begin_stage(run, "data", "aaa")
    run.train.write_text("old")
    finish_stage(run, "data", "aaa")
    monkeypatch.setattr(manifests, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        begin_stage(run, "data", "bbb", [run.train])
    assert not run.train.exists()
    assert check_stage(run, "data", "bbb", [run.train]) == "stale"
    assert check_stage(run, "data", "aaa", [run.train]) == "partial"


def test_output_that_nobody_noted_is_stale(run, caplog):
    run.path.mkdir()
    run.train.write_text("[]")
    assert check_stage(run, "data", "aaa", [run.train]) == "stale"
    assert "of unknown origin" in caplog.text


def test_new_data_make_the_adapter_stale(run):
    begin_stage(run, "data", "aaa")
    finish_stage(run, "data", "aaa")
    begin_stage(run, "training", "ttt")
    run.adapter.mkdir()
    finish_stage(run, "training", "ttt")
    assert check_stage(run, "training", "ttt", [run.adapter]) == "done"
    begin_stage(run, "data", "aaa")
    assert check_stage(run, "training", "ttt", [run.adapter]) == "done", "the same data again"
    begin_stage(run, "data", "bbb")
    assert check_stage(run, "training", "ttt", [run.adapter]) == "stale"


def test_finishing_what_was_not_begun_is_a_mistake(run):
    with pytest.raises(ValueError, match="not begun"):
        finish_stage(run, "data", "aaa")
    begin_stage(run, "data", "aaa")
    with pytest.raises(ValueError, match="not begun"):
        finish_stage(run, "data", "bbb")


# --- where it comes from


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def commit_in(monkeypatch, tmp_path):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(manifests, "PACKAGE", tmp_path / "vlm_tsc")
    return manifests.commit.__wrapped__


def test_commit_of_a_checkout(tmp_path, commit_in, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    assert len(commit_in()) < 40, "no commit yet: the version"
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "--no-verify", "-m", "first")
    clean = commit_in()
    assert len(clean) == 40
    (tmp_path / "file").write_text("b")
    assert commit_in() == clean + "+dirty"
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert commit_in() == clean + "+dirty"


def test_commit_without_git_is_the_version(tmp_path, commit_in, monkeypatch):
    monkeypatch.setattr(manifests, "_version", lambda name: "9.9")
    assert commit_in() == "9.9"
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert commit_in() == "9.9"


def test_versions_name_python_and_what_is_installed():
    found = versions()
    assert {"python", "numpy"} <= set(found)
    assert found["numpy"] == np.__version__


def test_peak_memory_of_a_gpu_is_what_torch_held_of_it(monkeypatch):
    torch = pytest.importorskip("torch")
    assert torch.cuda.is_initialized() or peak_gpu_memory_mb() is None
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 2_500_000)
    assert peak_gpu_memory_mb() == 2.5


def test_peak_memory_is_that_of_a_python_process():
    before = peak_memory_mb()
    block = np.ones(30_000_000 // 8)
    assert 10 < before <= peak_memory_mb() < 1e6
    del block
