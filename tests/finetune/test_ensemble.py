"""An ensemble's adapters are trained from seeds of their own, lie in one folder, and are asked as one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

import train
from tests.conftest import make_set
from tests.test_job import only_run, write_sets
from vlm_tsc.answer.ask import ask
from vlm_tsc.answer.members import Members, models_of
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.errors import InputError
from vlm_tsc.finetune import session
from vlm_tsc.finetune.adapter import load_adapter, load_finished, members_in, read_adapter_facts
from vlm_tsc.finetune.session import seed_of
from vlm_tsc.use import export

FAST = ["--num-epochs", "2", "--batch-size", "4", "--baselines", "none", "--precision", "fp32", "--views", "1"]


@pytest.fixture(scope="module")
def given(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    return [*write_sets(folder, make_set(12, 0), make_set(10, 1)), "--base", str(tiny_base), *FAST, "--ensemble", "3"]


@pytest.fixture(scope="module")
def run(given):
    assert train.main(given) == 0
    return only_run(Path(given[given.index("--vlm-root") + 1]))


def shown(run):
    presentation, _ = read_adapter_facts(run.adapter)
    return [presentation.show(case) for case in make_set(10, 1).X]


def test_the_folder_holds_every_adapter_and_the_metrics_say_how_many(run):
    members = members_in(run.adapter)
    assert [path.name for path in members] == ["member-1", "member-2"]
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (run.adapter, *members)]
    name = next(name for name in weights[0] if "lora_B" in name)
    assert not any(torch.equal(weights[0][name], other[name]) for other in weights[1:])
    metrics = json.loads(run.metrics.read_text())
    seconds = [json.loads((folder / "base.json").read_text())["seconds"] for folder in (run.adapter, *members)]
    assert metrics["ensemble"] == 3 and metrics["train_seconds"] == pytest.approx(sum(seconds))
    assert not run.members.exists()


def test_its_scores_are_the_mean_of_its_members(run, tiny_base):
    model, processor, _ = load_finished(run.adapter, tiny_base, torch.float32)
    assert isinstance(model, Members) and len(models_of(model)) == 3
    options = {"batch_size": 4, "generate": True}
    together = ask(model, processor, shown(run), ("A", "B"), **options)
    alone = [ask(one, processor, shown(run), ("A", "B"), **options) for one in models_of(model)]
    np.testing.assert_allclose(together.probabilities, np.mean([one.probabilities for one in alone], axis=0))
    np.testing.assert_allclose(together.log_likelihoods, np.mean([one.log_likelihoods for one in alone], axis=0))
    for text, *texts in zip(together.generated, *(one.generated for one in alone), strict=True):
        assert texts.count(text) == max(map(texts.count, texts))
    recorded = [json.loads(line)["probabilities"] for line in run.predictions.read_text().splitlines()]
    np.testing.assert_allclose([list(one.values()) for one in recorded], together.probabilities, atol=1e-6)


def test_from_python_it_predicts_what_the_run_recorded(run):
    recorded = [json.loads(line)["predicted"] for line in run.predictions.read_text().splitlines()]
    loaded = LlavaClassifier.load(run.path)
    assert loaded.predict(make_set(10, 1).X).tolist() == recorded


def test_the_first_member_is_what_a_single_training_makes(run, given, tmp_path):
    alone = [*given[: given.index("--ensemble")]]
    alone[alone.index("--vlm-root") + 1] = str(tmp_path)
    assert train.main(alone) == 0
    name = "adapter_model.safetensors"
    assert (only_run(tmp_path).adapter / name).read_bytes() == (run.adapter / name).read_bytes()
    assert seed_of(0, 0) == 0 and len({seed_of(seed, k) for seed in (0, 1) for k in range(5)}) == 10


def test_a_killed_ensemble_goes_on_with_its_finished_members(run, given, tmp_path, monkeypatch):
    again = [*given]
    again[again.index("--vlm-root") + 1] = str(tmp_path)
    trained, fit = [], session.fit_adapter

    def killed_in_the_third(*args, **options):
        trained.append(args[5].parent.name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return fit(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(session, "fit_adapter", killed_in_the_third)
        assert train.main(again) == 130
    assert trained[:2] == ["1", "2"] and len(trained) == 3
    assert train.main(again) == 0
    assert_same_adapters(run, only_run(tmp_path))


def assert_same_adapters(run, second):
    for path in sorted(run.adapter.rglob("*.safetensors")):
        assert path.read_bytes() == (second.adapter / path.relative_to(run.adapter)).read_bytes(), path.name


def test_no_member_goes_on_from_the_checkpoints_of_another(run, given, tmp_path, monkeypatch):
    """Killed when a member was finished and its checkpoints were still there."""
    again, remove = [*given], shutil.rmtree
    again[again.index("--vlm-root") + 1] = str(tmp_path)

    def killed_at_checkpoints(path, *args, **options):
        if Path(path).name == "checkpoints":
            raise KeyboardInterrupt
        remove(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed_at_checkpoints)
        assert train.main(again) == 130
    assert list(only_run(tmp_path).members.rglob("trainer_state.json")), "it was killed too late to show anything"
    assert train.main(again) == 0
    assert_same_adapters(run, only_run(tmp_path))


def test_its_exported_card_says_what_the_figures_are_of(run, tiny_base, tmp_path):
    out = tmp_path / "out"
    assert export.main([str(run.path), "--output", str(out)]) == 0
    card, metrics = (out / "README.md").read_text(), json.loads(run.metrics.read_text())
    assert "An ensemble" in card and "mean probabilities of 3 models." in card
    assert f"for each adapter, {metrics['train_seconds']:.0f} s" in card
    loading = [line for line in card.splitlines() if "load_adapter" in line]
    assert len(loading) == 2 and 'subfolder="member-2"' in loading[1]
    model: Any = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(tiny_base), out)
    model.load_adapter(out, "member-2", subfolder="member-2")
    weights = load_file(run.adapter / "member-2" / "adapter_model.safetensors")
    name = next(name for name in weights if "lora_B" in name)
    assert torch.equal(model.get_parameter(name.replace("lora_B.", "lora_B.member-2.")), weights[name])


def test_what_takes_one_model_refuses_it(run, tiny_base):
    with pytest.raises(InputError, match="3 adapters"):
        load_adapter(run.adapter, tiny_base, torch.float32)
