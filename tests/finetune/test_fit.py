"""Fine-tuning: the loss is on the answers, resuming changes nothing, and what cannot work is refused."""

from __future__ import annotations

import itertools
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import make_set
from vlm_tsc.answer.ask import ask
from vlm_tsc.answer.batch import IGNORED, answer_trie, class_weights, encode_examples, supervised_tokens
from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import LORA_TARGETS
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.conversation.rationale import named_label
from vlm_tsc.errors import InputError
from vlm_tsc.finetune import fit as fitting
from vlm_tsc.finetune.adapter import load_finished
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.checkpoints import last_whole_checkpoint
from vlm_tsc.finetune.draws import Draw, TrainingDraws
from vlm_tsc.finetune.fit import fit_adapter
from vlm_tsc.finetune.parts import quantisation_of
from vlm_tsc.finetune.preflight import check_sees_picture, check_supervision
from vlm_tsc.finetune.recipe import Recipe
from vlm_tsc.finetune.soft_answers import SoftAnswers
from vlm_tsc.finetune.trainer import AnswerTrainer

PRESENTATION = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (32, 32))
VALUES = PromptBuilder(AnswerMap(("down", "up")), mode="BASELINE", round_to=1)


def fit(base: Path, adapter: Path, steps: int = 4, **changes):
    quantisation = quantisation_of(changes.get("method", "lora"), LORA_TARGETS)
    model, processor = load_model(base, quantisation=quantisation)
    options = {
        "base": "tiny",
        "base_folder": base,
        "patterns": LORA_TARGETS,
        "parts": ("language", "projector", "vision"),
        "method": "lora",
        "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
        "steps": steps,
        "batch_size": 4,
        "eval_batch_size": 4,
        "learning_rate": 3e-3,
        "precision": torch.float32,
        "seed": 0,
        "checkpoint_steps": 2,
    }
    train, validation = changes.pop("train", make_set(12, 0)), changes.pop("validation", None)
    augmented = Augmented(changes.pop("presentation", PRESENTATION), changes.pop("augment", 1.0), options["seed"])
    around = {"progress": changes.pop("progress", False)}
    around |= {name: changes.pop(name) for name in ("members", "on_log") if name in changes}
    recipe = Recipe(**(options | changes))
    return fit_adapter(model, processor, train, validation, augmented, adapter, recipe, **around), processor


@pytest.mark.parametrize(("with_validation", "mixup"), [(False, 0.0), (True, 1.0)])
def test_stopped_and_resumed_equals_uninterrupted(tiny_base, tmp_path, monkeypatch, with_validation, mixup):
    options = {"validation": make_set(6, 5, "validation") if with_validation else None}
    options |= {"mixup": mixup, "teacher": mixup > 0}
    with losses_noted(monkeypatch) as of_whole:
        fit(tiny_base, tmp_path / "whole" / "adapter", **options)

    with stopped_after_two(monkeypatch), losses_noted(monkeypatch) as of_parts:
        fit(tiny_base, tmp_path / "parts" / "adapter", **options)
    assert last_whole_checkpoint(tmp_path / "parts" / "checkpoints")
    with losses_noted(monkeypatch) as of_rest:
        fit(tiny_base, tmp_path / "parts" / "adapter", **options)
    assert [step for step, _ in of_rest] == [2, 3]
    assert of_parts[:2] + of_rest == of_whole and len(of_whole) == 4

    whole, parts = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)  # tolerance 0, dropout included
    assert not (tmp_path / "parts" / "checkpoints").exists()


@contextmanager
def stopped_after_two(monkeypatch):
    def stop_after_two(self, *args, **kwargs):
        out = step(self, *args, **kwargs)
        if self.state.global_step == 2:  # its checkpoint is written: the third step is the one that dies
            raise KeyboardInterrupt
        return out

    step = AnswerTrainer.training_step
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AnswerTrainer, "training_step", stop_after_two)
        yield


@contextmanager
def losses_noted(monkeypatch):
    """(steps done before, loss) of every step of a training inside."""
    noted, step = [], AnswerTrainer.training_step

    def noting(self, *args, **kwargs):
        out = step(self, *args, **kwargs)
        noted.append((self.state.global_step, float(out)))
        return out

    with monkeypatch.context() as patch:
        patch.setattr(AnswerTrainer, "training_step", noting)
        yield noted


def test_grouping_a_step_by_length_changes_no_loss(tiny_base, tmp_path, monkeypatch):
    cases = make_set(12, 0)
    uneven = replace(cases, X=[case[:, : 5 + 2 * i] for i, case in enumerate(cases.X)])
    options = {"train": uneven, "presentation": replace(PRESENTATION, builder=VALUES), "augment": 0.0, "steps": 10}
    options |= {"batch_size": 2, "gradient_accumulation": 3, "lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
    options |= {"checkpoint_steps": 100, "learning_rate": 1e-3}
    fit(tiny_base, tmp_path / "grouped" / "adapter", **options)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingDraws, "_grouped", lambda self, draw: draw)
        fit(tiny_base, tmp_path / "shuffled" / "adapter", **options)
    grouped, shuffled = (figures_of(tmp_path / name / "adapter") for name in ("grouped", "shuffled"))
    assert grouped == pytest.approx(shuffled, rel=1e-4) and grouped != shuffled  # summed in another order


def figures_of(adapter: Path) -> list[float]:
    """The loss of ten steps, and the size of the last one's gradient."""
    (line,) = [line for line in map(json.loads, (adapter / "log.jsonl").read_text().splitlines()) if "loss" in line]
    return [line["loss"], line["grad_norm"]]


def test_a_whole_model_goes_on_from_its_weights_and_counts_the_seconds_before(tiny_base, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole" / "adapter", tmp_path / "parts" / "adapter"
    fit(tiny_base, whole, method="full")
    with stopped_after_two(monkeypatch):
        fit(tiny_base, parts, method="full")
    noted = parts.parent / "checkpoints" / "checkpoint-2" / "seconds.json"
    assert 0 < json.loads(noted.read_text())["seconds"] < 100
    noted.write_text('{"seconds": 1000.0}')
    fit(tiny_base, parts, method="full")
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    assert 1000 < json.loads((parts / "base.json").read_text())["seconds"] < 1100


def test_a_whole_model_ends_as_its_best_checkpoint(tiny_base, tmp_path, monkeypatch):
    scores, best, load = itertools.count(0, -1), {}, AnswerTrainer._load_best_model

    def read_first(self):
        assert Path(self.state.best_model_checkpoint).name == "checkpoint-2"
        best.update(load_file(Path(self.state.best_model_checkpoint) / "model.safetensors"))
        load(self)

    monkeypatch.setattr(fitting, "_validation_figures", lambda *_: {"score": float(next(scores))})
    monkeypatch.setattr(AnswerTrainer, "_load_best_model", read_first)
    model, _ = fit(tiny_base, tmp_path / "adapter", method="full", validation=make_set(6, 5, "validation"))
    own = model.state_dict()
    assert best and all(torch.equal(own[name], value) for name, value in best.items())


def test_the_last_checkpoint_as_good_as_the_best_is_kept():
    """Of 16 cases: a standard error is 2 of them at 8 right, 1.3 at 14, and none where all are right."""
    cases = make_set(16, 0)

    def kept(*right):
        log, scores = [{"loss": 1.0}], []
        for n in right:
            truth = np.array([cases.class_names.index(label) for label in cases.y])
            found = np.where(np.arange(16) < n, truth, 1 - truth)
            figures = fitting._validation_figures(np.eye(2)[found], cases, log)
            assert figures["accuracy"] == n / 16
            log.append({"eval_accuracy": figures["accuracy"]})
            scores.append(figures["score"])
        return int(np.argmax(scores))

    assert kept(8, 6, 6) == 2 and kept(8, 5, 5) == 0
    assert kept(12, 14, 13, 12) == 2 and kept(12, 14, 11, 16) == 3
    assert kept(16, 15, 15) == 0 and kept(16, 15, 16) == 2


def test_a_half_written_checkpoint_is_not_used(tmp_path):
    for step, state in ((2, '{"global_step": 2}'), (4, '{"global_'), (6, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2"]


def test_a_finished_adapter_loads_alone_and_answers_alike(tiny_base, tmp_path):
    model, processor = fit(tiny_base, tmp_path / "adapter")
    shown = [PRESENTATION.show(case) for case in make_set(6, 3).X]
    before = ask(model, processor, shown, ("A", "B"), batch_size=6).probabilities
    loaded, processor, facts = load_finished(tmp_path / "adapter", tiny_base, torch.float32)
    after = ask(loaded, processor, shown, ("A", "B"), batch_size=6).probabilities
    assert abs(before - after).max() < 1e-6
    assert facts["name"] == "tiny" and facts["steps"] == 4
    named = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == "tiny"
    assert not list((tmp_path / "adapter").glob("*.bin"))  # no pickle


def test_full_fine_tuning_trains_the_chosen_parts_only(tiny_base, tmp_path):
    fit(tiny_base, tmp_path / "adapter", method="full", parts=("language", "projector"))
    before, _ = load_model(tiny_base)
    after, _, _ = load_finished(tmp_path / "adapter", tiny_base, torch.float32)
    changed = {
        n for (n, a), (_, b) in zip(before.named_parameters(), after.named_parameters(), strict=True) if (a != b).any()
    }
    assert any("multi_modal_projector" in name for name in changed)
    assert any("language_model" in name for name in changed)
    assert not any("vision_tower" in name for name in changed)


def test_an_adapter_of_another_base_is_refused(tiny_base, tmp_path):
    import shutil

    fit(tiny_base, tmp_path / "adapter", steps=1)
    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="another base"):
        load_finished(tmp_path / "adapter", other, torch.float32)


def test_the_loss_equals_the_models_own_over_full_logits(tiny_base):
    model, processor = load_model(tiny_base)
    shown = [PRESENTATION.show(case) for case in make_set(4, 0).X]
    trie = answer_trie(processor, shown[0].question, ("A", "AB"))
    batch = encode_examples(processor, shown, [trie.answers[i] for i in (0, 1, 1, 0)])
    assert (batch["labels"] == IGNORED).any()  # answers of two lengths: one row begins with padding
    full = torch.full_like(batch["input_ids"], IGNORED)
    full[:, -batch["labels"].shape[1] :] = batch["labels"]
    rows = [{key: value[i : i + 1] for key, value in {**batch, "labels": full}.items()} for i in range(len(shown))]
    theirs = torch.stack([model(**row).loss for row in rows]).mean()  # each answer counts as much as any other
    ours = AnswerLoss()(model, batch)[0]
    torch.testing.assert_close(ours, theirs)


def test_the_loss_of_a_mixture_is_shared_where_its_answers_part(tiny_base):
    """Against log-probabilities of full passes: "A" and "AB" part behind their first token or at it, "B" at once."""
    model, processor = load_model(tiny_base)
    shown = [PRESENTATION.show(case) for case in make_set(3, 0).X]
    answers = answer_trie(processor, shown[0].question, ("A", "AB", "B")).answers
    own, shares = torch.tensor([1, 0, 2]), torch.tensor([[0.25, 0.75, 0], [0.5, 0.1, 0.4], [0, 0, 1.0]])
    batch = encode_examples(processor, shown, [answers[i] for i in own])
    found, _ = AnswerLoss(soft=SoftAnswers(answers))(model, {**batch, "own": own, "shares": shares})

    with torch.no_grad():
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        log_p = model(**inputs).logits.float().log_softmax(-1)
    expected = 0.0
    for row, i, share in zip(log_p, own, shares, strict=True):
        fed = answers[i]
        for column, predicted in enumerate(row[-len(fed) - 1 : -1]):
            alike = [k for k, one in enumerate(answers) if one[:column] == fed[:column]]
            there = sum(float(share[k]) for k in alike)
            loss = sum(float(share[k]) / there * predicted[answers[k][column]] for k in alike if share[k] > 0)
            expected -= loss / len(fed) / len(own)
    torch.testing.assert_close(found, expected)


EXPLAINED = replace(PRESENTATION, builder=replace(PRESENTATION.builder, mode="WITH_RATIONALE"))


def test_a_class_weighs_as_much_as_its_whole_rationale(tiny_base):
    model, processor = load_model(tiny_base)
    shown = [EXPLAINED.show(case) for case in make_set(2, 0).X]
    of_class = answer_trie(processor, shown[0].question, ("A", "AB"), shown[0].lead).answers
    tokens = [supervised_tokens(processor, *pair) for pair in zip(shown, ("A", "AB"), of_class, strict=True)]
    batch = encode_examples(processor, shown, tokens)
    weights = class_weights(batch["labels"], [len(ids) for ids in of_class])
    found, _ = AnswerLoss()(model, {**batch, "weights": weights})
    with torch.no_grad():
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits.float().log_softmax(-1)
    expected = 0.0
    for row, ids, last in zip(logits, tokens, of_class, strict=True):
        log_p = row[-len(ids) - 1 : -1][torch.arange(len(ids)), torch.tensor(ids)]
        expected -= (log_p[: -len(last)].mean() + log_p[-len(last) :].mean()) / 2 / len(shown)
    torch.testing.assert_close(found, expected)


def test_the_loss_does_not_change_with_how_a_batch_is_split(tiny_base):
    """Of answers that are not equally long."""
    model, processor = load_model(tiny_base)
    shown = [PRESENTATION.show(case) for case in make_set(2, 0).X]
    ids = answer_trie(processor, shown[0].question, ("A", "B")).answers[0]
    tokens = [ids, [*ids, *ids, *ids]]
    smoothed = AnswerLoss(0.1)
    together, _ = smoothed(model, encode_examples(processor, shown, tokens))
    alone = [
        smoothed(model, encode_examples(processor, [one], [its]))[0] for one, its in zip(shown, tokens, strict=True)
    ]
    assert abs(alone[0] - alone[1]) > 0.01
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2)


@pytest.mark.long
def test_an_answer_that_explains_is_learned(tiny_base, tmp_path):
    """The class is learned though it is one token of many, and the model writes in the format it was taught."""
    train = make_set(8, 0, length=10)
    model, processor = fit(
        tiny_base, tmp_path / "adapter", steps=100, train=train, presentation=EXPLAINED, augment=0.0, batch_size=8,
        learning_rate=1e-2, checkpoint_steps=100, method="full",
    )  # fmt: skip
    asked = ask(model, processor, [EXPLAINED.show(case) for case in train.X], ("A", "B"), batch_size=8, generate=True)
    assert [("down", "up")[i] for i in asked.probabilities.argmax(1)] == list(train.y)
    names = [named_label(EXPLAINED.builder.answer_map, text, explained=True) for text in asked.generated]
    assert sum(map(str.__eq__, train.y, map(str, names))) >= 6, asked.generated


def test_preflight_refuses_a_loss_that_is_not_on_the_answer(tiny_base):
    _, processor = load_model(tiny_base)
    draw = Draw(PRESENTATION.show(make_set(2, 0).X[0]), "A")
    right = answer_trie(processor, draw.shown.question, ("A", "B")).answers
    check_supervision(processor, [draw], [right[0]])
    for wrong in (right[1], right[0][:-1], right[0] + right[0]):
        with pytest.raises(InputError, match="loss would not be on the answer"):
            check_supervision(processor, [draw], [wrong])


def test_preflight_asks_a_model_about_no_more_cases_than_it_may(tiny_base):
    model, processor = load_model(tiny_base)
    draws: Any = [Draw(PRESENTATION.show(case), "A") for case in make_set(4, 0).X]
    right = answer_trie(processor, draws[0].shown.question, ("A", "B")).answers[0]
    asked: list[int] = []
    model.register_forward_hook(lambda _, args, inputs, out: asked.append(len(out.logits)), with_kwargs=True)
    fitting._preflight(model, processor, draws, lambda draw: right, torch.float32, n_seen=1)
    assert asked == [1, 1]


def test_preflight_refuses_a_model_that_does_not_see_the_picture(tiny_base):
    model, processor = load_model(tiny_base)
    draw = Draw(PRESENTATION.show(make_set(2, 0).X[0]), "A")
    assert check_sees_picture(model, processor, [draw]) > 0
    for parameter in model.model.multi_modal_projector.parameters():
        parameter.data.zero_()
    with pytest.raises(InputError, match="does not reach the model"):
        check_sees_picture(model, processor, [draw])


def test_a_loss_that_is_no_number_ends_the_training(tiny_base, tmp_path):
    with pytest.raises(InputError, match="the training loss is not finite"):
        fit(tiny_base, tmp_path / "adapter", steps=6, learning_rate=1e30)
    assert not (tmp_path / "adapter").exists()
