"""The methods beside plain LoRA: each trains, is saved, and answers alike when it is loaded again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

import train
from tests.conftest import make_set
from tests.finetune.test_fit import PRESENTATION, fit
from tests.replicas import make_replica
from tests.test_job import FAST, only_run, write_sets
from vlm_tsc.answer.ask import ask
from vlm_tsc.answer.batch import answer_trie, encode_examples
from vlm_tsc.answer.model import load_model
from vlm_tsc.answer.quantised import Quantisation, dequantise_into, quantised_layers
from vlm_tsc.bases import LORA_TARGETS
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.adapter import load_finished
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.parts import add_lora, make_trainable, quantisation_of

NF4 = Quantisation("nf4", (LORA_TARGETS["language"], LORA_TARGETS["vision"]))


@pytest.mark.parametrize("method", ["dora", "qlora8"])
def test_saved_and_loaded_it_answers_alike(tiny_base, tmp_path, method):
    model, processor = fit(tiny_base, tmp_path / "adapter", steps=2, method=method)
    shown = [PRESENTATION.show(case) for case in make_set(6, 3).X]
    before = ask(model, processor, shown, ("A", "B"), batch_size=6, generate=True)
    loaded, processor, facts = load_finished(tmp_path / "adapter", tiny_base, torch.float32)
    after = ask(loaded, processor, shown, ("A", "B"), batch_size=6, generate=True)
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-5)
    assert after.generated == before.generated
    assert isinstance(loaded, PeftModel) == bool(quantised_layers(loaded)) == (method == "qlora8")
    assert facts.get("quantised", {}).get("kind") == {"qlora8": "int8"}.get(method)


def test_dora_learns_magnitudes(tiny_base, tmp_path):
    fit(tiny_base, tmp_path / "adapter", steps=2, method="dora")
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    norms = load_model(tiny_base)[0].model.language_model.layers[0].mlp.up_proj.weight.norm(dim=1)
    (magnitude,) = [
        value
        for name, value in weights.items()
        if "language_model.layers.0.mlp.up_proj" in name and "magnitude" in name
    ]
    assert magnitude.shape == norms.shape and 0 < (magnitude - norms).abs().max() < 0.1


def test_gradients_pass_through_quantised_layers_also_after_an_evaluation(tiny_base):
    """Against the same model with the same values in plain layers."""
    quantised, processor = load_model(tiny_base, quantisation=NF4)
    plain, _ = load_model(tiny_base)
    dequantise_into(plain, quantised)
    shown = [PRESENTATION.show(case) for case in make_set(4, 0).X]
    tokens = answer_trie(processor, shown[0].question, ("A", "B")).answers
    gradients = []
    for model in (plain, quantised):
        torch.manual_seed(0)
        model = add_lora(model, LORA_TARGETS, ("language", "vision"), r=4, alpha=8, dropout=0.0)
        ask(model, processor, shown, ("A", "B"), batch_size=4)
        model.train()
        batch = encode_examples(processor, shown, [tokens[i % 2] for i in range(4)])
        AnswerLoss()(model, batch)[0].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    moved = [name for name in gradients[0] if "lora_B" in name]
    assert len(moved) == len(quantised_layers(quantised))
    for name in moved:
        torch.testing.assert_close(gradients[1][name], gradients[0][name], atol=1e-5, rtol=1e-3)


def test_gradient_checkpointing_changes_nothing_but_memory(tiny_base, tmp_path, monkeypatch):
    from transformers import modeling_utils

    calls = []
    original = modeling_utils.checkpoint
    monkeypatch.setattr(modeling_utils, "checkpoint", lambda *a, **k: (calls.append(1), original(*a, **k))[1])
    weights = []
    for on in (False, True):
        folder = tmp_path / str(on) / "adapter"
        fit(tiny_base, folder, steps=2, gradient_checkpointing=on)
        weights.append(load_file(folder / "adapter_model.safetensors"))
        assert bool(calls) == on
    for name, value in weights[0].items():  # dropout included: its random state is restored
        torch.testing.assert_close(weights[1][name], value, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "dora", "qlora", "full"])
def test_what_is_trained_is_in_float32(tiny_base, method):
    model, _ = load_model(tiny_base, quantisation=quantisation_of(method, LORA_TARGETS))
    for parameter in model.parameters():  # as a GPU has them
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.bfloat16)
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    model = make_trainable(model, LORA_TARGETS, ("language", "projector"), method, lora)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert torch.bfloat16 in {p.dtype for p in model.parameters() if not p.requires_grad}


def test_a_head_that_is_trained_is_no_table_of_embeddings(tiny_base, tmp_path):
    parts = ("language", "head")
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    model = make_trainable(load_model(tiny_base)[0], LORA_TARGETS, parts, "lora", lora)
    assert any("lm_head.lora_A" in name for name, _ in model.named_parameters())
    tied = make_replica("qwen2.5-vl", tmp_path / "qwen")
    with pytest.raises(InputError, match="table of embeddings"):
        make_trainable(load_model(tied)[0], LORA_TARGETS, parts, "lora", lora)


def test_the_job_with_qlora(tiny_base, tmp_path):
    given = write_sets(tmp_path, make_set(8, 0), make_set(4, 1))
    assert train.main([*given, "--base", str(tiny_base), *FAST, "--method", "qlora", "--gradient-checkpointing"]) == 0
    run = only_run(tmp_path)
    assert json.loads((run.adapter / "base.json").read_text())["quantised"]["kind"] == "nf4"
    assert json.loads(run.metrics.read_text())["n_cases"] == 4


def test_zero_3_and_quantised_weights_exclude_each_other(tiny_base, tmp_path, capsys):
    given = write_sets(tmp_path, make_set(8, 0), make_set(4, 1))
    (tmp_path / "zero3.json").write_text('{"zero_optimization": {"stage": 3}}')
    options = ["--method", "qlora", "--deepspeed", str(tmp_path / "zero3.json")]
    assert train.main([*given, "--base", str(tiny_base), *FAST, *options]) == 2
    assert "zero2.json" in capsys.readouterr().err


def test_a_batch_in_parts_teaches_what_it_teaches_whole(tiny_base, tmp_path):
    weights = []
    for part in ("4", "2"):
        folder = tmp_path / part
        folder.mkdir()
        given = [*write_sets(folder, make_set(16, 0), make_set(4, 1)), "--base", str(tiny_base), *FAST]
        assert train.main([*given, "--lora-dropout", "0", "--micro-batch", part]) == 0
        weights.append(load_file(only_run(folder).adapter / "adapter_model.safetensors"))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=1e-5, rtol=1e-4)
