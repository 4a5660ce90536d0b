"""Every stage of the project on a replica of every published family: nothing here knows which family it has."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from tests.conftest import make_set
from tests.finetune.test_fit import fit
from tests.replica_configs import PUBLISHED, published_config
from tests.replicas import FAMILIES, make_replica
from vlm_tsc.answer.ask import ask
from vlm_tsc.answer.attention import ON_CPU
from vlm_tsc.answer.batch import answer_trie, encode_examples, encode_prompts, supervised_tokens
from vlm_tsc.answer.model import load_model
from vlm_tsc.answer.quantised import Quantisation, quantised_layers
from vlm_tsc.answer.read import read_answers
from vlm_tsc.bases import LORA_TARGETS, BaseConfig, load_base
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.budget import TokenCounter, choose_factor
from vlm_tsc.conversation.encoding import adds_start, end_token_id, full_text
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.processor import load_processor, picture_size
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.conversation.records import messages_of, record
from vlm_tsc.finetune.adapter import load_finished
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.use.merge import difference, next_token_logits

CLASSES = AnswerMap(tuple(f"class {i}" for i in range(28)))  # A … Z, AA, AB: some answers begin alike


def every_day(*names: str) -> pytest.MarkDecorator:
    """The families named are tested every day, the others among the long tests."""
    params = [pytest.param(name, marks=[] if name in names else pytest.mark.long) for name in FAMILIES]
    return pytest.mark.parametrize("family", params, indirect=True)


# In 4 or 8 bits all families go the same way, so one of them is enough for every day.
ONE_FAMILY_ELSE_LONG = every_day("llava-1.5")


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory) -> Path:
    return make_replica(family, tmp_path_factory.mktemp("replicas") / family)


@pytest.fixture(scope="module")
def loaded(folder):
    return load_model(folder)


@pytest.fixture(scope="module")
def presentation(family, loaded) -> Presentation:
    """As a run would choose it: values and a picture of the base's own size."""
    size = picture_size(load_base(FAMILIES[family].base), loaded[1])
    return Presentation(PromptBuilder(CLASSES, round_to=1), size)


def shown_cases(presentation: Presentation) -> list[Shown]:
    return [presentation.show(make_set(2, i, length=length).X[0]) for i, length in enumerate((4, 11))]


def encode_whole(processor, shown: Shown, answer: str) -> dict:
    """The processor's own encoding of a whole conversation: what everything here is held against."""
    text = full_text(processor, messages_of(record("x", ["x.png"] * len(shown.pictures), shown.question, answer)))
    images = [shown.pictures] if shown.pictures else None
    return processor(text=[text], images=images, return_tensors="pt", add_special_tokens=adds_start(processor, text))


def full_pass(model, processor, shown: Shown, answer: str) -> float:
    """Log-likelihood of an answer, read in one pass over the whole conversation, without cache and without padding."""
    inputs = encode_whole(processor, shown, answer)
    n_tokens = inputs["input_ids"].shape[1] - encode_prompts(processor, [shown])["input_ids"].shape[1]
    labels = inputs["input_ids"][0, -n_tokens:]
    with torch.no_grad():
        log_p = model(**inputs, use_cache=False).logits[0, -n_tokens - 1 : -1].float().log_softmax(-1)
    return float(log_p[torch.arange(n_tokens), labels].sum())


def test_special_tokens_have_their_published_ids(family, loaded):
    model, processor = loaded
    assert processor.image_token_id == model.config.image_token_id
    assert processor.tokenizer.eos_token_id == end_token_id(processor)
    assert len(processor.tokenizer) <= model.get_input_embeddings().num_embeddings


def test_a_digit_is_a_token(loaded):
    pieces = loaded[1].tokenizer.tokenize("Values: 12.5 é")
    assert [piece for piece in pieces if any(c.isdigit() for c in piece) and not piece.startswith("<0x")] == [*"125"]
    assert loaded[1].tokenizer.unk_token is None or loaded[1].tokenizer.unk_token not in pieces


def test_measured_tokens_equal_the_processors_own(family, loaded, presentation):
    processor, builder = loaded[1], presentation.builder
    counter = TokenCounter(processor, builder, presentation.size)
    assert counter.image_tokens == FAMILIES[family].image_tokens == load_base(FAMILIES[family].base).image_tokens
    cases = [make_set(2, i, length=length).X[0] for i, length in enumerate((4, 11))]
    lengths = [encode_whole(processor, presentation.show(case), "AB")["input_ids"].shape[1] for case in cases]
    assert counter.count([builder.question(case) for case in cases]).tolist() == lengths
    budget = choose_factor(cases, builder, processor, max(lengths) - 1, picture_size=presentation.size)
    assert budget.factor > 1 and budget.max_tokens < max(lengths)


def test_without_settings_pictures_fit_the_tower(family, loaded):
    sizes = {"llava-onevision": 384, "smolvlm": 512}
    base = BaseConfig(name="unknown", repository="unknown")
    assert picture_size(base, loaded[1]) == (sizes.get(family, 336),) * 2


def test_a_saved_processor_loads_again(loaded, presentation, tmp_path):
    model, processor = loaded
    processor.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    again = load_processor(tmp_path)
    assert type(again).__name__ == type(processor).__name__
    shown = shown_cases(presentation)
    before, after = encode_prompts(processor, shown), encode_prompts(again, shown)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("attention", ["sdpa", "eager", ON_CPU])
def test_the_tree_equals_one_full_pass_per_class(loaded, presentation, attention):
    model, processor = loaded
    model.set_attn_implementation(attention)
    shown = shown_cases(presentation)
    trie = answer_trie(processor, shown[0].question, CLASSES.answers)
    got = read_answers(model, encode_prompts(processor, shown), trie).log_likelihoods
    for i, j in ((0, 0), (0, 26), (1, 1), (1, 27)):  # one padded case, one not; A, AA, B, AB
        assert abs(float(got[i, j]) - full_pass(model, processor, shown[i], CLASSES.answers[j])) < 1e-4
    model.set_attn_implementation("sdpa")


def test_with_a_rationale_scores_are_those_of_whole_answers(loaded, presentation):
    """Differences of classes: what all classes of a case have in common, the rationale's likelihood, cancels."""
    model, processor = loaded
    shown = shown_cases(replace(presentation, builder=replace(presentation.builder, mode="WITH_RATIONALE")))
    found = ask(model, processor, shown, CLASSES.answers, batch_size=2).log_likelihoods
    for one, row in zip(shown, found, strict=True):
        whole = [full_pass(model, processor, one, with_lead(one.lead, CLASSES.answers[j])) for j in (0, 1, 27)]
        np.testing.assert_allclose(np.diff(row[[0, 1, 27]]), np.diff(whole), atol=2e-4)


def test_with_a_rationale_the_supervised_tokens_are_the_templates(loaded, presentation):
    _, processor = loaded
    for one in shown_cases(replace(presentation, builder=replace(presentation.builder, mode="WITH_RATIONALE"))):
        of_class = answer_trie(processor, one.question, CLASSES.answers, one.lead).answers
        for j in (0, 27):
            ids = encode_whole(processor, one, with_lead(one.lead, CLASSES.answers[j]))["input_ids"][0].tolist()
            supervised = supervised_tokens(processor, one, CLASSES.answers[j], of_class[j])
            assert ids == encode_prompts(processor, [one])["input_ids"][0].tolist() + supervised
            assert ids == encode_prompts(processor, [one], leads=True)["input_ids"][0].tolist() + list(of_class[j])
            text = processor.tokenizer.decode(supervised, skip_special_tokens=True).strip()
            assert text == with_lead(one.lead, CLASSES.answers[j])


def test_greedy_decoding_equals_generate(loaded, presentation):
    model, processor = loaded
    shown = shown_cases(presentation)
    inputs, end = encode_prompts(processor, shown), end_token_id(processor)
    trie = answer_trie(processor, shown[0].question, ("A", "B"))
    ours = read_answers(model, inputs, trie, end_token=end, max_new_tokens=5).generated
    theirs = model.generate(**inputs, do_sample=False, max_new_tokens=5, pad_token_id=processor.tokenizer.pad_token_id)
    for mine, row in zip(ours or [], theirs[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        assert mine == (row[: row.index(end)] if end in row else row)


def test_a_prompt_without_a_picture_forgets_the_one_before(loaded, presentation):
    model, processor = loaded
    ask(model, processor, shown_cases(presentation), ("A", "B"), batch_size=2)
    bare = [Shown([], "Values: 1 2 3. Answer with one letter.")]
    asked = ask(model, processor, bare, ("A", "B"), batch_size=1, generate=True)
    full = [full_pass(model, processor, bare[0], answer) for answer in "AB"]
    np.testing.assert_allclose(asked.probabilities[0], torch.tensor(full).softmax(0), atol=1e-5)


def mean_loss(model, processor, shown: list[Shown], answers: Sequence[Sequence[int]]) -> float:
    """What the trainer minimises."""
    batch = encode_examples(processor, shown, answers)
    with torch.no_grad():
        return float(AnswerLoss()(model, batch)[0])


def test_the_loss_is_that_of_full_passes(loaded, presentation):
    shown = shown_cases(presentation)
    answers = CLASSES.answers[0], CLASSES.answers[27]  # of two lengths: the first row begins with padding
    tokens = answer_trie(loaded[1], shown[0].question, answers).answers
    full = [-full_pass(*loaded, *pair) / len(ids) for *pair, ids in zip(shown, answers, tokens, strict=True)]
    assert mean_loss(*loaded, shown, tokens) == pytest.approx(np.mean(full), abs=1e-4)


@every_day("llava-1.5", "smolvlm")
def test_fine_tuned_saved_loaded_and_merged(family, folder, presentation, tmp_path):
    two = Presentation(PromptBuilder(AnswerMap(("down", "up")), round_to=1), presentation.size)
    train = make_set(4, 0, length=6)
    shown = [two.show(case) for case in train.X]
    model, processor = load_model(folder)
    tokens = answer_trie(processor, shown[0].question, "AB").answers
    answers = [tokens[label == "up"] for label in train.y]
    before = mean_loss(model, processor, shown, answers)
    model, processor = fit(
        folder, tmp_path / "adapter", steps=4, train=train, presentation=two, augment=0.0, batch_size=2,
        learning_rate=1e-2, checkpoint_steps=100,
    )  # fmt: skip
    assert mean_loss(model, processor, shown, answers) < before - 0.1
    kept = ask(model, processor, shown, ("A", "B"), batch_size=4, generate=True)
    merged, processor, _ = load_finished(tmp_path / "adapter", folder, torch.float32)
    again = ask(merged, processor, shown, ("A", "B"), batch_size=4, generate=True)
    assert not hasattr(merged, "peft_config")
    np.testing.assert_allclose(again.probabilities, kept.probabilities, atol=1e-4)
    assert again.generated == kept.generated
    inputs = encode_prompts(processor, shown)
    with torch.no_grad():
        logits = [one(**inputs, logits_to_keep=1).logits for one in (model, merged)]
    torch.testing.assert_close(*logits, atol=1e-3, rtol=0)
    before = next_token_logits(model, processor, shown)
    rounded = difference(before, next_token_logits(merged.to(torch.bfloat16), processor, shown))
    print(f"in bfloat16 {rounded}")
    assert rounded.logit <= 1e-2  # the first token is as random as these weights: two can be as likely


@ONE_FAMILY_ELSE_LONG
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantised_are_all_linear_layers_but_projector_and_head(folder, loaded, kind):
    quantisation = Quantisation(kind, (LORA_TARGETS["language"], LORA_TARGETS["vision"]))
    linear = {name for name, layer in loaded[0].named_modules() if isinstance(layer, torch.nn.Linear)}
    model, _ = load_model(folder, quantisation=quantisation)
    kept = re.compile(r"lm_head|projector|connector|merger")
    assert set(quantised_layers(model)) == {name for name in linear if not kept.search(name)}
    assert len([name for name in linear if kept.search(name)]) >= 2  # head and projector


@ONE_FAMILY_ELSE_LONG
def test_on_a_quantised_base_fine_tuned_saved_and_loaded(family, folder, presentation, tmp_path):
    two = Presentation(PromptBuilder(AnswerMap(("down", "up")), round_to=1), presentation.size)
    train = make_set(4, 0, length=6)
    shown = [two.show(case) for case in train.X]
    model, processor = fit(
        folder, tmp_path / "adapter", steps=3, train=train, presentation=two, augment=0.0, batch_size=2,
        learning_rate=1e-2, checkpoint_steps=100, method="qlora",
    )  # fmt: skip
    logged = [json.loads(line) for line in (tmp_path / "adapter" / "log.jsonl").read_text().splitlines()]
    assert np.isfinite(logged[-1]["train_loss"])
    kept = ask(model, processor, shown, ("A", "B"), batch_size=4, generate=True)
    loaded, processor, facts = load_finished(tmp_path / "adapter", folder, torch.float32)
    assert facts["quantised"]["kind"] == "nf4" and quantised_layers(loaded) and loaded.peft_config
    again = ask(loaded, processor, shown, ("A", "B"), batch_size=4, generate=True)
    np.testing.assert_allclose(again.probabilities, kept.probabilities, atol=1e-5)
    assert again.generated == kept.generated
    full = torch.tensor([full_pass(loaded, processor, shown[0], answer) for answer in "AB"]).softmax(0)
    np.testing.assert_allclose(again.probabilities[0], full, atol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_a_base_says_of_its_size(name):
    """Counted on the published configuration at its real size, without allocating it."""
    base = load_base(name)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(published_config(name))
    parameters = sum(weight.numel() for weight in model.parameters())
    layers = {
        part: [layer for path, layer in model.named_modules() if re.fullmatch(LORA_TARGETS[part], path)]
        for part in LORA_TARGETS
    }
    linear = [path for path, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    assert sum(map(len, layers.values())) == len(linear), "a pattern for every linear layer"
    assert all(layers.values())
    quantised = sum(layer.weight.numel() for part in ("language", "vision") for layer in layers[part])
    sizes = {"bf16": 2 * parameters, "nf4": (0.5 + 4 / 64) * quantised + 2 * (parameters - quantised)}
    assert base.parameters == parameters
    assert base.memory_gb == {kind: round(size / 1e9, 2) for kind, size in sizes.items()}
