"""The teacher: scikit-learn's own answers, from a tower that no training changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.conftest import make_set
from tests.replicas import make_replica
from vlm_tsc.answer.batch import encode_prompts
from vlm_tsc.answer.features import features
from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import LORA_TARGETS
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.finetune import teacher as module
from vlm_tsc.finetune.draws import TrainingDraws
from vlm_tsc.finetune.parts import base_of, make_trainable, projector_names
from vlm_tsc.finetune.teacher import Teacher, TowerTeacher, fit_teacher

PLOT = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (32, 32))
CASES = make_set(12, 0)
HOW = {"batch_size": 4, "precision": torch.float32}


def draws(strength: float = 1.0) -> TrainingDraws:
    answers = [PLOT.builder.answer_map.answer_of(label) for label in CASES.y]
    return TrainingDraws(list(CASES.X), CASES.ids, answers, Augmented(PLOT, strength, 0), n_draws=12, seed=0)


@pytest.fixture
def first():
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize(("n_classes", "apart", "sharpness"), [(2, 9, 3), (4, 9, 3), (30, 9, 4), (4, 0, 12)])
def test_it_answers_as_scikit_learns_ridge_classifier(n_classes, apart, sharpness):
    """Sharper where many classes share the scores; no sharper than that where it cannot tell them apart."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % n_classes
    X = (rng.normal(size=(120, 40)) + apart * np.eye(n_classes, 40)[y]).astype(np.float32)
    ridge = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-1, 5, 13))).fit(X, y)
    scores = ridge.decision_function(X)
    scores = np.stack([-scores, scores], axis=1) if n_classes == 2 else scores
    found = fit_teacher(X, y).shares(torch.tensor(X, dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), softmax(sharpness * scores, axis=1), atol=1e-4)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_its_tower_stays_while_the_model_is_trained(tiny_base, tmp_path, first, method):
    model, processor = load_model(tiny_base)
    projector = projector_names(model, LORA_TARGETS)
    shown = [PLOT.show(case) for case in CASES.X]
    as_it_was = features(model, processor, shown, "vision", batch_size=12, projector=projector)
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    model = make_trainable(model, LORA_TARGETS, ("language", "projector", "vision"), method, lora)
    names = projector_names(base_of(model), LORA_TARGETS)
    taught = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1
    inputs = encode_prompts(processor, shown)
    torch.testing.assert_close(taught.shares(inputs), taught.teacher.shares(torch.tensor(as_it_was)))


def test_it_has_learned_the_training_cases(tiny_base, tmp_path, first):
    model, processor = load_model(tiny_base)
    names = projector_names(model, LORA_TARGETS)
    taught = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    new = make_set(20, 1)
    found = taught.shares(encode_prompts(processor, [PLOT.show(case) for case in new.X])).argmax(1)
    assert (np.array(("down", "up"))[found] == new.y).mean() > 0.8


def test_an_interrupted_training_finds_the_same_one(tiny_base, tmp_path, first, monkeypatch):
    model, processor = load_model(tiny_base)
    names = projector_names(model, LORA_TARGETS)
    how = {"projector": names, "first": first, **HOW}
    before = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, **how).teacher
    monkeypatch.setattr(module, "fit_teacher", lambda *_: pytest.fail("it is there already"))
    after = TowerTeacher.of(model, processor, draws(), ("A", "B"), tmp_path, **how).teacher
    assert all(torch.equal(getattr(before, name), getattr(after, name)) for name in vars(Teacher(*[None] * 4)))


def test_of_many_cases_it_sees_some_and_every_class(tiny_base, tmp_path, first, monkeypatch):
    """The only case of its class is among them; the views are as many as there is room for."""
    seen = []
    monkeypatch.setattr(module, "_MOST", 5)
    monkeypatch.setattr(module, "fit_teacher", lambda X, y: seen.append((X, y)) or fit_teacher(X, y))
    model, processor = load_model(tiny_base)
    made = draws()
    made.answers = ["A"] * 11 + ["B"]
    names = projector_names(model, LORA_TARGETS)
    TowerTeacher.of(model, processor, made, ("A", "B"), tmp_path, projector=names, first=first, **HOW)
    ((X, y),) = seen
    assert len(X) == len(y) == 5 and sorted(set(y)) == [0, 1]


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
    seen = features(model, processor, shown, "vision", batch_size=12, projector=names)
    torch.testing.assert_close(
        taught.shares(encode_prompts(processor, shown)), taught.teacher.shares(torch.tensor(seen))
    )
