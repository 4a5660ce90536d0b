"""The teacher looks through a tower that no training changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import make_set
from tests.replicas import make_replica
from vlm_tsc.answer.batch import encode_prompts
from vlm_tsc.answer.features import features, vision_token_batches
from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import LORA_TARGETS
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.finetune import teacher as module
from vlm_tsc.finetune.draws import TrainingDraws
from vlm_tsc.finetune.linear_teacher import Teacher, fit_teacher
from vlm_tsc.finetune.parts import base_of, make_trainable, projector_names
from vlm_tsc.finetune.teacher import TowerTeacher

PLOT = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (32, 32))
CASES = make_set(12, 0)
HOW = {"batch_size": 4, "precision": torch.float32}


def draws(strength: float = 1.0) -> TrainingDraws:
    answers = [PLOT.builder.answer_map.answer_of(label) for label in CASES.y]
    return TrainingDraws(list(CASES.X), CASES.ids, answers, Augmented(PLOT, strength, 0), n_draws=12, seed=0)


def read(model, processor, shown, projector) -> dict[str, torch.Tensor]:
    """What a teacher may read, by name."""
    how = {"batch_size": 12, "projector": projector}
    return {
        "means": torch.tensor(features(model, processor, shown, "vision", **how)),
        "tokens": torch.cat([*vision_token_batches(model, processor, shown, **how)]).flatten(1),
    }


@pytest.fixture
def first():
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_its_tower_stays_while_the_model_is_trained(tiny_base, tmp_path, first, method):
    model, processor = load_model(tiny_base)
    projector = projector_names(model, LORA_TARGETS)
    shown = [PLOT.show(case) for case in CASES.X]
    as_it_was = read(model, processor, shown, projector)
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    model = make_trainable(model, LORA_TARGETS, ("language", "projector", "vision"), method, lora)
    names = projector_names(base_of(model), LORA_TARGETS)
    taught = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1
    inputs = encode_prompts(processor, shown)
    torch.testing.assert_close(taught.shares(inputs), taught.teacher.shares(as_it_was[taught.reads]))


def test_it_has_learned_the_training_cases(tiny_base, tmp_path, first):
    model, processor = load_model(tiny_base)
    names = projector_names(model, LORA_TARGETS)
    taught = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    new = make_set(20, 1)
    found = taught.shares(encode_prompts(processor, [PLOT.show(case) for case in new.X])).argmax(1)
    assert (np.array(("down", "up"))[found] == new.y).mean() > 0.8


def test_in_half_precision_it_is_shown_what_it_was_fitted_to(tiny_base, tmp_path, first, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "fit_teacher", lambda *given: seen.append(given) or fit_teacher(*given))
    model, processor = load_model(tiny_base)
    how = {"projector": projector_names(model, LORA_TARGETS), "batch_size": 12, "precision": torch.bfloat16}
    taught = TowerTeacher.of(model, processor, draws(0.0), ("A", "B"), tmp_path, first=first, **how)
    ((features, *_),) = seen
    monkeypatch.setattr(Teacher, "shares", lambda _, features: features)
    again = taught.shares(encode_prompts(processor, [PLOT.show(case) for case in CASES.X]))
    apart = (again[:, None] - torch.from_numpy(features[taught.reads])).abs().amax(2)  # each has an order of its own
    assert again.dtype == torch.float32 and apart.amin(1).max() < 1e-5


def test_without_the_decoder_a_copy_still_looks(tiny_base):
    model, _ = load_model(tiny_base)
    copied = module._without_decoder(model)
    assert not any("language_model" in name or "lm_head" in name for name, _ in copied.named_parameters())
    kept = dict(model.named_parameters())
    assert all(one is not kept[name] and torch.equal(one, kept[name]) for name, one in copied.named_parameters())


def test_an_interrupted_training_finds_the_same_one(tiny_base, tmp_path, first, monkeypatch):
    model, processor = load_model(tiny_base)
    names = projector_names(model, LORA_TARGETS)
    how = {"projector": names, "first": first, **HOW}
    first_one = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, **how)
    monkeypatch.setattr(module, "fit_teacher", lambda *_: pytest.fail("it is there already"))
    second = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, **how)
    assert first_one.reads == second.reads
    before, after = first_one.teacher, second.teacher
    assert all(torch.equal(getattr(before, name), getattr(after, name)) for name in vars(Teacher(*[None] * 4)))


def test_of_many_cases_it_sees_some_and_every_class(tiny_base, tmp_path, first, monkeypatch):
    """The only case of its class is among them; the views are as many as there is room for."""
    seen = []
    monkeypatch.setattr(module, "_MOST", 5)
    monkeypatch.setattr(module, "fit_teacher", lambda *given: seen.append(given) or fit_teacher(*given))
    model, processor = load_model(tiny_base)
    made = draws()
    made.answers = ["A"] * 11 + ["B"]
    names = projector_names(model, LORA_TARGETS)
    TowerTeacher.of(model, processor, made, ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    ((features, y, case, _),) = seen
    assert {len(X) for X in features.values()} == {5} and sorted(set(y)) == [0, 1]
    assert sorted(case) == [0, 1, 2, 3, 4]


def test_of_a_wide_tower_it_reads_means_alone(tiny_base, tmp_path, first, monkeypatch):
    monkeypatch.setattr(module, "_WIDEST", 16 * 32 - 1)  # tokens and width of this tower, and one less
    model, processor = load_model(tiny_base)
    names = projector_names(model, LORA_TARGETS)
    taught = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    assert taught.reads == "means" and len(taught.teacher.mean) == 32 * (1 + 4 + 4)


def test_it_looks_at_every_picture_of_a_case(tmp_path, first):
    """Through a tower that takes all pictures of a batch as one sequence."""
    model, processor = load_model(make_replica("qwen2.5-vl", tmp_path))
    builder = PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY", n_pictures=2)
    plots = Presentation(builder, (112, 112), styles=("line", "differences"))
    answers = [builder.answer_map.answer_of(label) for label in CASES.y]
    made = TrainingDraws(list(CASES.X), CASES.ids, answers, Augmented(plots, 0.0, 0), n_draws=12, seed=0)
    names = projector_names(model, LORA_TARGETS)
    taught = TowerTeacher.of(model, processor, made, ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    shown = [plots.show(case) for case in CASES.X]
    seen = read(model, processor, shown, names)[taught.reads]
    torch.testing.assert_close(taught.shares(encode_prompts(processor, shown)), taught.teacher.shares(seen))
