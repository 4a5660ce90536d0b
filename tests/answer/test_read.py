"""Scores of the answer tree against one full pass per class; greedy decoding against `generate`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import make_set
from vlm_tsc.answer.ask import ask, ask_views
from vlm_tsc.answer.attention import ON_CPU
from vlm_tsc.answer.batch import answer_trie, encode_prompts
from vlm_tsc.answer.model import load_model
from vlm_tsc.answer.read import read_answers
from vlm_tsc.answer.trie import AnswerTrie
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.encoding import end_token_id
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.conversation.prompt import PromptBuilder


def shown_cases(n_classes: int, n_cases: int = 5) -> tuple[list[Shown], tuple[str, ...]]:
    answers = AnswerMap(tuple(f"class {i}" for i in range(n_classes)))
    presentation = Presentation(PromptBuilder(answers, round_to=1), (32, 32))
    cases = [make_set(2, i, length=8 + 5 * i).X[0] for i in range(n_cases)]  # prompts of different lengths
    return [presentation.show(case) for case in cases], answers.answers


@pytest.fixture(scope="module", params=["sdpa", ON_CPU])  # the fused attention, and the one that trains on CPUs
def loaded(tiny_base, request):
    model, processor = load_model(tiny_base)
    model.set_attn_implementation(request.param)
    return model, processor


@pytest.mark.parametrize("n_classes", [2, 30])  # 30: A to Z are the beginnings of AA to AD
def test_the_tree_equals_one_full_pass_per_class(loaded, n_classes):
    model, processor = loaded
    shown, answers = shown_cases(n_classes)
    trie = answer_trie(processor, shown[0].question, answers)
    got = read_answers(model, encode_prompts(processor, shown), trie).log_likelihoods
    expected = torch.empty_like(got)
    with torch.no_grad():
        for i, one in enumerate(shown):
            prompt = encode_prompts(processor, [one])  # alone: no padding at all
            for j, answer in enumerate(trie.answers):
                ids = torch.cat([prompt["input_ids"], torch.tensor([answer])], dim=1)
                logits = model(
                    input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=prompt["pixel_values"]
                ).logits
                log_p = logits[0, -len(answer) - 1 : -1].float().log_softmax(-1)
                expected[i, j] = log_p[torch.arange(len(answer)), torch.tensor(answer)].sum()
    assert (got - expected).abs().max() < 1e-4


def test_where_flash_attention_trains_answers_are_read_with_a_mask(tiny_base):
    """Its kernels are not here and would not take the tree: asked with them, the model could not answer at all."""
    model, processor = load_model(tiny_base)
    shown, answers = shown_cases(30)
    before = ask(model, processor, shown, answers, batch_size=3, generate=True)
    model.config._attn_implementation = "flash_attention_2"
    after = ask(model, processor, shown, answers, batch_size=3, generate=True)
    assert (after.probabilities == before.probabilities).all() and after.generated == before.generated
    assert model.config.get_text_config()._attn_implementation == "flash_attention_2", "as it was, for training"


def test_greedy_decoding_equals_generate(loaded):
    model, processor = loaded
    shown, answers = shown_cases(3)
    inputs = encode_prompts(processor, shown)
    trie = answer_trie(processor, shown[0].question, answers)
    end = end_token_id(processor)
    ours = read_answers(model, inputs, trie, end_token=end, max_new_tokens=6).generated
    theirs = model.generate(**inputs, do_sample=False, max_new_tokens=6, pad_token_id=processor.tokenizer.pad_token_id)
    for mine, row in zip(ours or [], theirs[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        assert mine == (row[: row.index(end)] if end in row else row)


def test_answers_do_not_depend_on_the_batch(loaded):
    model, processor = loaded
    shown, answers = shown_cases(4)
    together = ask(model, processor, shown, answers, batch_size=5, generate=True)
    alone = ask(model, processor, shown, answers, batch_size=1, generate=True)
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)
    assert together.generated == alone.generated
    np.testing.assert_allclose(together.probabilities.sum(1), 1, atol=1e-6)


def test_scores_of_views_are_averaged_and_the_commonest_text_counts(loaded):
    model, processor = loaded
    shown, answers = shown_cases(3)
    blank = [one.blank() for one in shown]
    alone = [ask(model, processor, view, answers, batch_size=5, generate=True) for view in (shown, blank)]
    both = ask_views(model, processor, [shown, blank], answers, batch_size=5, generate=True)
    assert not np.allclose(alone[0].probabilities, alone[1].probabilities)
    assert alone[0].generated != alone[1].generated
    np.testing.assert_allclose(both.probabilities, (alone[0].probabilities + alone[1].probabilities) / 2, atol=1e-9)
    assert both.generated == alone[0].generated  # one each: the earlier
    most = ask_views(model, processor, [shown, blank, blank], answers, batch_size=5, generate=True)
    assert most.generated == alone[1].generated


def test_a_measured_rationale_is_scored_behind_but_never_shown_to_generation(loaded):
    model, processor = loaded
    shown, answers = shown_cases(3)
    plain = ask(model, processor, shown, answers, batch_size=5, generate=True)
    leads = ["The series: level.\nAnswer:", "The series: rising by 1.0 std, no peak.\nAnswer:"]
    first, second = (
        ask(model, processor, [replace(one, lead=lead) for one in shown], answers, batch_size=5, generate=True)
        for lead in leads
    )
    assert not np.allclose(first.log_likelihoods, second.log_likelihoods, atol=1e-3)
    for begun, longer, longest in zip(plain.generated, first.generated, second.generated, strict=True):
        assert longer.startswith(begun) and longest.startswith(longer) and len(longest) > len(begun)


def test_trie_of_answers_that_begin_alike():
    trie = AnswerTrie.build([(5, 1), (5, 6, 1), (7, 1)])
    assert trie.tokens == (5, 6, 7) and trie.depth == (0, 1, 0) and trie.longest == 3
    assert trie.visible.tolist() == [[True, False, False], [True, True, False], [False, False, True]]
    assert trie.steps == (((-1, 5), (0, 1)), ((-1, 5), (0, 6), (1, 1)), ((-1, 7), (2, 1)))
