"""What a user can get wrong: exit code 2, one message that names what, where, got and allowed, no traceback."""

from __future__ import annotations

import importlib.util
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import dataset
import train
from tests.conftest import make_set


def refused(capsys, main, *argv: str) -> str:
    """Run an entry point that must refuse; returns its message."""
    capsys.readouterr()  # what preparing the test printed
    assert main([str(word) for word in argv]) == 2
    out = capsys.readouterr()
    progress, found, message = out.err.rpartition("error: ")
    assert found and "Traceback" not in out.err + out.out
    assert all(line.startswith("step ") for line in progress.splitlines())
    return message


@pytest.fixture
def common(tiny_base, tmp_path) -> list[str]:
    return ["--base", str(tiny_base), "--vlm-root", str(tmp_path)]


CSV = "a,1,2,3\nb,3,2,1\na,1,2,4\nb,4,2,1\na,0,2,3\nb,3,1,1\n"
BAD_FILES = {
    "empty": ("", ["empty"]),
    "ragged": (CSV + "a,1,2\n", ["line 7"]),
    "no label": ("\n".join(["1.25,2.5,3.5", "0.5,1.5,9.5", "7.25,2.5,3.75", "0.125,5.5,6.5"]), ["label"]),
    "one class": (CSV.replace("b,", "a,"), ["class", "a"]),
    "missing value": ("a,1,NaN,3\n" + CSV, ["interpolate"]),
    "infinite": ("a,1,inf,3\n" + CSV, ["inf"]),
    "length 1": ("a,1\nb,2\na,3\nb,4\n", ["1"]),
    "words": ("a,1,walk,3\n" + CSV, ["walk"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used(capsys, common, tmp_path, name):
    text, words = BAD_FILES[name]
    path = tmp_path / "mine.csv"
    path.write_text(text)
    message = refused(capsys, dataset.main, "--dataset", path, *common)
    assert "mine.csv" in message or name == "one class"
    assert all(word in message for word in words), message
    assert not (tmp_path / "runs").exists()  # nothing was begun


def test_names_that_lead_nowhere_or_elsewhere(capsys, common):
    assert "GunPoint" in refused(capsys, dataset.main, "--dataset", "GunPiont", *common)
    for name in ("../GunPoint", "missing.csv"):
        assert name in refused(capsys, dataset.main, "--dataset", name, *common)


def test_options_and_yaml_keys(capsys, common, tmp_path):
    message = refused(capsys, train.main, "--dataset", "GunPoint", "--num-epoch", "2", "--round_to", "two", *common)
    assert "--num-epochs" in message and "two" in message  # both at once, with the nearest name
    path = tmp_path / "c.yaml"
    path.write_text("dataset: GunPoint\nroundto: 2\n")
    message = refused(capsys, dataset.main, path, *common)
    assert "round_to" in message and "line 2" in message


def test_a_context_that_is_too_small(capsys, common, slopes_file):
    given = ["--dataset", slopes_file, "--test", slopes_file.with_name("slopes_test.npz"), *common]
    assert "30" in refused(capsys, dataset.main, *given, "--context-length", "30")
    message = refused(capsys, dataset.main, *given, "--context-length", "120", "--downsample", "1")
    assert "120" in message


def test_a_checkpoint_that_is_no_vlm(capsys, tmp_path, slopes_file):
    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, vocab_size=64
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    message = refused(
        capsys, dataset.main, "--dataset", slopes_file, "--base", tmp_path / "llama", "--vlm-root", tmp_path
    )
    assert "llama" in message


def test_an_unknown_base_says_how_to_fetch_it(capsys, tmp_path, slopes_file, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refused(
        capsys, dataset.main, "--dataset", slopes_file, "--base", "somebody/some-llava", "--vlm-root", tmp_path
    )
    assert "hf download somebody/some-llava" in message


def test_a_folder_that_cannot_be_written(capsys, tiny_base, tmp_path, slopes_file):
    (tmp_path / "file").write_text("")
    message = refused(
        capsys, dataset.main, "--dataset", slopes_file, "--base", tiny_base, "--vlm-root", tmp_path / "file"
    )
    assert "file" in message


@pytest.mark.parametrize("room", [4_000, 40_000])
def test_a_disk_that_is_full_loses_nothing(capsys, common, slopes_file, tmp_path, room):
    """A limit on the size of files stands for the full disk: too little for the series, or for the adapter."""
    given = ["--dataset", slopes_file, "--test", slopes_file.with_name("slopes_test.npz"), *common]
    given += ["--num-epochs", "1", "--batch-size", "4", "--baselines", "none"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        message = refused(capsys, train.main, *given)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in message and str(tmp_path) in message
    (run,) = (tmp_path / "runs").glob("*/*")
    assert not (run / "adapter").exists() and (run / "train.json").exists() == (room > 4_000)
    assert train.main([str(word) for word in given]) == 0
    assert (run / "metrics.json").exists()


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="empty"):
        (tmp_path / "mine.csv").write_text("")
        dataset.main(["--dataset", str(tmp_path / "mine.csv"), "--debug"])


@pytest.fixture
def finished(common, tmp_path) -> Path:
    """A small run that is finished."""
    for name, seed in (("slopes.npz", 0), ("test.npz", 1)):
        cases = make_set(12, seed)
        np.savez(tmp_path / name, X=cases.X, y=cases.y)
    given = ["--dataset", str(tmp_path / "slopes.npz"), "--test", str(tmp_path / "test.npz"), *common]
    torch.manual_seed(0)
    assert train.main([*given, "--num-epochs", "0.5", "--batch-size", "4", "--baselines", "none"]) == 0
    return next((tmp_path / "runs").glob("*/*"))


def score(argv: list[str]) -> int:
    """`python eval/score.py`; loaded by path, because eval/ is a folder of scripts."""

    spec = importlib.util.spec_from_file_location("score", Path(train.__file__).parent / "eval" / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(argv)


def test_broken_files_of_a_run(capsys, finished):
    metrics = finished / "metrics.json"
    assert json.loads(metrics.read_text())["n_cases"] == 12
    capsys.readouterr()
    metrics.unlink()
    picture = next((finished / "images").glob("test-*.png"))
    whole = picture.read_bytes()
    picture.write_bytes(whole[:60])
    assert picture.name in refused(capsys, score, finished)
    picture.write_bytes(whole)
    lines = (finished / "test.json").read_text().splitlines()
    (finished / "test.json").write_text("\n".join([*lines[:3], lines[3][:40], *lines[4:]]))
    message = refused(capsys, score, finished)
    assert "test.json" in message and "line" in message
    (finished / "test.json").write_text("\n".join(lines) + "\n")
    assert score([str(finished)]) == 0 and metrics.exists()


def test_an_adapter_of_another_base(capsys, finished, tiny_base, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    message = refused(capsys, score, finished, "--base", other, "--answers", "generate")
    assert "another base" in message and "other" in message
