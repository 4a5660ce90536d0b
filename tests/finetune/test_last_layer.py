"""Computed for the last tokens alone, the last layer gives the same loss and the same gradients."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import make_set
from tests.finetune.test_fit import PRESENTATION, VALUES, fit, losses_noted
from vlm_tsc.answer.batch import answer_trie, encode_examples
from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import LORA_TARGETS
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.last_layer import LastLayer, last_layer_of
from vlm_tsc.finetune.parts import base_of, make_trainable

WIDTH = 3


@pytest.fixture
def adapted(tiny_base):
    model, processor = load_model(tiny_base)
    torch.manual_seed(0)
    model = make_trainable(model, LORA_TARGETS, ("language", "projector"), "lora", {"r": 4, "alpha": 8, "dropout": 0.0})
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # they begin at zero, where LoRA's other half has no gradient
            torch.nn.init.normal_(weight, std=0.1)
    presentation = Presentation(VALUES, (32, 32))
    shown = [presentation.show(make_set(2, i, length=length).X[0]) for i, length in enumerate((4, 11))]
    answers = answer_trie(processor, shown[0].question, presentation.builder.answer_map.answers).answers
    return model, encode_examples(processor, shown, answers)


def loss_and_gradients(model, batch, **options):
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits = model(**inputs, **options).logits[:, -WIDTH:-1].float()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, -WIDTH + 1 :].flatten())
    model.zero_grad()
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_are_the_same(adapted, checkpointing):
    model, batch = adapted
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    loss, gradients = loss_and_gradients(model, batch)
    seen = []
    hook = (
        base_of(model)
        .get_decoder()
        .layers[-1]
        .mlp.up_proj.register_forward_hook(lambda _, tokens, __: seen.append(tokens[0].shape[1]))
    )
    with last_layer_of(model) as last:
        last.width = WIDTH
        narrow_loss, narrow_gradients = loss_and_gradients(model, batch)
    hook.remove()
    assert set(seen) == {WIDTH} and len(seen) == 1 + checkpointing
    assert abs(loss - narrow_loss) < 1e-6
    assert gradients.keys() == narrow_gradients.keys()
    for name, gradient in gradients.items():
        assert (gradient - narrow_gradients[name]).abs().max() < 1e-5, name
    loss, _ = loss_and_gradients(model, batch)
    assert abs(loss - narrow_loss) < 1e-6, "released, it computes all tokens again"


def test_asked_in_evaluation_it_computes_every_token(adapted):
    model, batch = adapted
    model.eval()
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.no_grad(), last_layer_of(model) as last:
        whole = model(**inputs).logits
        last.width = WIDTH
        assert model(**inputs).logits.equal(whole)
        model.train()
        assert not model(**inputs).logits[:, 0].equal(whole[:, 0])


def test_a_decoder_of_other_parts_is_left_as_it_is():
    layer = torch.nn.Module()
    layer.mlp = torch.nn.Linear(2, 2)
    model = torch.nn.Module()
    model.get_decoder = lambda: type("Decoder", (), {"layers": [layer]})
    with last_layer_of(model) as last:
        assert last.parts == [] and "forward" not in vars(layer.mlp)


def test_training_uses_it_and_learns_the_same(tiny_base, tmp_path, monkeypatch):
    options = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}, "presentation": PRESENTATION}
    with losses_noted(monkeypatch) as narrow:
        fit(tiny_base, tmp_path / "narrow" / "adapter", **options)
    with monkeypatch.context() as patch, losses_noted(patch) as whole:
        patch.setattr(LastLayer, "hold", lambda self: None)
        patch.setattr(LastLayer, "release", lambda self: None)
        fit(tiny_base, tmp_path / "whole" / "adapter", **options)
    assert len(narrow) == len(whole) == 4
    for (_, one), (_, other) in zip(narrow, whole, strict=True):
        assert abs(one - other) < 1e-4


def test_the_loss_says_how_many_tokens_it_reads(adapted):
    model, batch = adapted
    last = LastLayer([])
    AnswerLoss(last_layer=last)(model, batch)
    assert last.width == batch["labels"].shape[1] + 1
