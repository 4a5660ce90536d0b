"""Pre-training: from training parts or synthetic series to an encoder's folder; resumed, and never mixed up."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tests.conftest import make_set
from vlm_tsc.classify.masked_transformer.encoder_folder import read_encoder
from vlm_tsc.classify.masked_transformer.patches import Grid
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.errors import InputError
from vlm_tsc.mlflow_store import Store
from vlm_tsc.pretrain.__main__ import main
from vlm_tsc.pretrain.loop import STATE_FILE
from vlm_tsc.pretrain.masked import run as running
from vlm_tsc.pretrain.masked.config import Pretraining, read_pretraining
from vlm_tsc.pretrain.masked.data import Sets, Synthetic, all_sets, source_of, train_part
from vlm_tsc.pretrain.masked.run import TASKS, pretrain_masked
from vlm_tsc.pretrain.synthetic import corpus
from vlm_tsc.resources import resource_dir

SHAPE = Shape(length=32, patch=4, width=16, layers=1, heads=2)


def config(task="mae", **options):
    usual = {"datasets": ("Short", "Long"), "steps": 4, "batch_size": 6, "warmup_steps": 1}
    return Pretraining(**{"name": "tiny", "task": task, "shape": SHAPE, "codewords": 7, **usual, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder: sets of different lengths and channels, with test parts that nobody may open."""
    root = tmp_path_factory.mktemp("ucr")
    for name, n_cases, length, n_channels in (("Short", 5, 20, 1), ("Long", 9, 100, 1), ("Wide", 6, 30, 3)):
        cases = make_set(n_cases, 1, n_channels=n_channels, length=length)
        (root / name).mkdir()
        np.savez(root / name / f"{name}_TRAIN.npz", X=cases.X, y=cases.y)
        (root / name / f"{name}_TEST.npz").write_bytes(b"opened?")
    return root


@pytest.mark.parametrize("name", ["mae", "timemae", "contrastive"])
def test_the_shipped_configurations_load(name):
    shipped = read_pretraining(resource_dir("configs/pretrain") / f"{name}.yaml")
    assert (shipped.name, shipped.task) == (name, name)


def test_the_command_line_wins_and_every_mistake_is_told(tmp_path):
    path = resource_dir("configs/pretrain") / "mae.yaml"
    given = {"datasets": "A, B", "exclude": None, "steps": 7}
    found = read_pretraining(path, given)
    assert (found.datasets, found.exclude, found.steps, found.seed) == (("A", "B"), (), 7, 0)
    (tmp_path / "wrong.yaml").write_text("name: ../x\ntask: bert\nsteps: 0\nmask_ration: 1\ndatasets: [A]\n")
    with pytest.raises(InputError) as caught:
        read_pretraining(tmp_path / "wrong.yaml")
    assert all(word in str(caught.value) for word in ("name", "task", "steps", "mask_ration"))


def test_every_set_fills_the_grid_and_is_drawn_by_the_root_of_its_size(folder):
    source = source_of(config(datasets=("all",), exclude=("Wide",)), folder)
    assert source.sets == ["Long", "Short"]
    drawn = source.draw(0, 3, 400)
    assert {one.shape for one in drawn} == {(1, 32)}
    series = {one.tobytes(): name for name, cases in zip(source.sets, source.series, strict=True) for one in cases}
    share = np.mean([series[one.tobytes()] == "Long" for one in drawn])
    assert share == pytest.approx(3 / (3 + 5**0.5), abs=0.08)
    again, other = source.draw(0, 3, 400), source.draw(0, 4, 400)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(drawn, other, strict=True))


def test_a_set_to_leave_out_is_found_whatever_its_letters_case_and_refused_where_there_is_none(folder):
    assert source_of(config(datasets=("all",), exclude=("wide", "LONG")), folder).sets == ["Short"]
    with pytest.raises(InputError, match="no such set to leave out") as caught:
        source_of(config(datasets=("all",), exclude=("Wide", "Shrt")), folder)
    assert "near: Short" in str(caught.value)
    assert source_of(config(datasets=("all",), exclude=("wide", "GunPoint")), folder).sets == ["Long", "Short"]
    with pytest.raises(InputError, match="both named and excluded"):
        source_of(config(exclude=("long",)), folder)


def test_only_training_parts_are_opened(folder):
    assert len(train_part("Short", folder)) == 5  # the test part is no archive: opening it would be an error
    assert all_sets(folder) == ["Long", "Short", "Wide"]


def test_an_encoder_of_one_channel_takes_channels_one_by_one_and_one_of_several_takes_them_together(folder):
    cases = train_part("Wide", folder)
    apart = Sets({"Wide": cases}, SHAPE).series[0]
    together = Sets({"Wide": cases}, SHAPE.model_copy(update={"n_channels": 3})).series[0]
    assert len(apart) == 18 and apart[0].shape == (1, 32) and together[0].shape == (3, 32)
    np.testing.assert_array_equal(np.concatenate(apart[:3]), together[0])
    with pytest.raises(InputError, match="another number of channels"):
        source_of(config(datasets=("Wide",), shape=SHAPE.model_copy(update={"n_channels": 2})), folder)


def test_the_synthetic_source_is_the_projects_corpus():
    found = Synthetic(SHAPE).draw(3, 0, 8)
    assert len(found) == 8 and all(one.shape[0] == 1 and one.shape[1] % 4 == 0 for one in found)
    episodes = list(corpus(3, 8))
    grid = Grid(max(case.shape[1] for case in episodes[:4]), 32, 4)
    assert any(len(grid(case)[0]) == found[0].shape[1] for case in episodes)
    assert all(np.array_equal(a, b) for a, b in zip(found, Synthetic(SHAPE).draw(3, 0, 8), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(found, Synthetic(SHAPE).draw(3, 1, 8), strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_and_gone_on_is_the_same_as_never_interrupted(task, folder, tmp_path, monkeypatch):
    whole = pretrain_masked(config(task), tmp_path / "whole", data_dir=folder, workers=0)

    def until(source, seed, step, n):
        if step == 2:
            raise KeyboardInterrupt
        return draw(source, seed, step, n)

    draw, run_stage = Sets.draw, running.run_stage
    monkeypatch.setattr(running, "run_stage", lambda *a, **k: run_stage(*a, **k, save_every_seconds=0))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Sets, "draw", until)
        pretrain_masked(config(task), tmp_path / "again", data_dir=folder, workers=0)
    assert int(load_file(tmp_path / "again" / STATE_FILE)["step"]) == 2
    torch.manual_seed(99)
    again = pretrain_masked(config(task), tmp_path / "again", data_dir=folder, workers=0)
    states = [load_file(tmp_path / run / STATE_FILE) for run in ("whole", "again")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert again.facts["sha256"] == whole.facts["sha256"]


def test_the_encoder_in_its_folder_is_the_one_that_was_trained_and_knows_what_it_has_seen(folder, tmp_path):
    found = pretrain_masked(config(), tmp_path, data_dir=folder, workers=0)
    read = read_encoder(tmp_path / "encoder")
    state = load_file(tmp_path / STATE_FILE)
    for name, value in read.encoder().state_dict().items():
        torch.testing.assert_close(value, state[f"model.encoder.{name}"], rtol=0, atol=0)
    assert read.facts == found.facts and read.sets == ["Long", "Short"]
    assert read.has_seen("Long") and read.has_seen("short") and not read.has_seen("Wide")
    assert (read.facts["task"], read.facts["steps"], read.facts["synthetic"]) == ("mae", 4, False)
    assert read.n_seen(train_part("Long", folder)) == 9 and read.n_seen(train_part("Wide", folder)) == 0


def test_the_losses_fall(tmp_path):
    for task in TASKS:
        steps = 100 if task == "contrastive" else 60  # two views may be of parts that hardly overlap: it learns slowly
        made = config(task, datasets=("synthetic",), steps=steps, batch_size=16, learning_rate=3e-3)
        pretrain_masked(made, tmp_path / task, workers=0)
        lines = [json.loads(line) for line in (tmp_path / task / "log.jsonl").read_text().splitlines()]
        assert lines[-1]["loss"] < lines[0]["loss"] and "series_per_second" in lines[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"datasets": ("Short",)}, "datasets"), ({"seed": 1}, "seed"), ({"mask_ratio": 0.3}, "mask_ratio")],
)
def test_a_folder_of_another_pretraining_is_refused(options, says, folder, tmp_path):
    pretrain_masked(config(steps=1), tmp_path, data_dir=folder, workers=0)
    with pytest.raises(InputError, match="another pre-training") as caught:
        pretrain_masked(config(steps=1, **options), tmp_path, data_dir=folder, workers=0)
    assert says in str(caught.value)


def test_a_file_that_is_not_split_and_a_set_both_named_and_excluded_are_refused(tmp_path, folder):
    cases = make_set(4, 0)
    np.savez(tmp_path / "mine.npz", X=cases.X, y=cases.y)
    with pytest.raises(InputError, match="not split"):
        source_of(config(datasets=(str(tmp_path / "mine.npz"),)))
    with pytest.raises(InputError, match="both named and excluded"):
        source_of(config(exclude=("Long",)), folder)
    with pytest.raises(InputError, match="channel by channel"):
        Synthetic(SHAPE.model_copy(update={"n_channels": 2}))
    with pytest.raises(ValidationError):
        config(datasets=())


def test_a_learning_rate_at_which_nothing_is_learnt_ends_in_one_message(folder, tmp_path):
    wild = config(learning_rate=1e30, steps=20, warmup_steps=0)
    with pytest.raises(InputError, match="a lower learning_rate") as caught:
        pretrain_masked(wild, tmp_path, data_dir=folder, workers=0)
    assert "step" in str(caught.value) and not (tmp_path / "encoder").exists()


def test_the_command_logs_what_it_trained_once_and_registers_nothing(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lines = ["name: tiny", "task: contrastive", "datasets: all", "steps: 9", "batch_size: 4"]
    lines += ["shape: {length: 32, patch: 4, width: 16, layers: 1, heads: 2}"]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    words = ["masked", "--conf-file", str(tmp_path / "mine.yaml"), "--data-dir", str(folder), "--exclude", "Wide"]
    words += ["--steps", "2", "--workers", "0", "--vlm-root", str(tmp_path), "--name", "mine"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "mine-" in capsys.readouterr().out
    assert read_encoder(tmp_path / "runs/pretrain/mine/encoder").sets == ["Long", "Short"]
    assert read_encoder(tmp_path / "out").label == read_encoder(tmp_path / "runs/pretrain/mine/encoder").label
    assert main(words) == 0  # the same once more
    client = Store(tmp_path / "runs").client
    (logged,) = client.search_runs([client.get_experiment_by_name("pretrain").experiment_id])
    assert logged.data.params["task"] == "contrastive" and logged.info.status == "FINISHED"
    assert not client.search_registered_models()
    assert main([*words, "--datasets", "Nowhere"]) == 2
    assert "unknown set" in capsys.readouterr().err


def test_an_encoder_that_cannot_be_logged_is_kept_and_only_told(folder, tmp_path, capsys, caplog, monkeypatch):
    def fails(*_):
        raise ValueError("no such store")

    monkeypatch.setattr(running, "log_pretraining", fails)
    lines = ["name: tiny", "task: mae", "datasets: [Long]", "steps: 1", "batch_size: 4"]
    lines += ["shape: {length: 32, patch: 4, width: 16, layers: 1, heads: 2}"]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    words = ["masked", "--conf-file", str(tmp_path / "mine.yaml"), "--data-dir", str(folder), "--workers", "0"]
    words += ["--vlm-root", str(tmp_path)]
    assert main(words) == 0
    assert "no such store" in caplog.text and read_encoder(tmp_path / "runs/pretrain/tiny/encoder").sets == ["Long"]
    assert main([*words, "--register"]) == 2  # that was asked for
    assert "could not be logged to MLflow" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["masked", "llava"])
def test_fewer_than_no_processes_are_refused(command, tmp_path, capsys):
    assert main([command, "--conf-file", str(tmp_path / "any.yaml"), "--workers", "-1"]) == 2
    assert "--workers" in capsys.readouterr().err


def test_a_broken_checkpoint_of_an_interrupted_pretraining_is_one_message(folder, tmp_path):
    pretrain_masked(config(steps=1), tmp_path, data_dir=folder, workers=0)
    (tmp_path / STATE_FILE).write_bytes(b"half of it")
    with pytest.raises(InputError, match="the checkpoint is broken") as caught:
        pretrain_masked(config(steps=1), tmp_path, data_dir=folder, workers=0)
    assert STATE_FILE in str(caught.value) and "delete it" in str(caught.value)
