from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.budget import Budget, TokenCounter, choose_factor
from vlm_tsc.conversation.encoding import adds_start, full_text
from vlm_tsc.conversation.prompt import MODES, PromptBuilder
from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.conversation.records import messages_of, record
from vlm_tsc.errors import InputError

TWO = AnswerMap(("1", "2"))
SIZE = (40, 30)
LONGEST = "B"  # two tokens to the tokenizer of these tests, which knows " A" as one


def encoded_length(processor, builder: PromptBuilder, case: np.ndarray, answer: str) -> int:
    """The reference: the processor's own encoding of the whole conversation with a real picture."""
    paths = [f"{i}.png" for i in range(builder.n_pictures)]
    text = full_text(processor, messages_of(record("x", paths, builder.question(case), answer)))
    pictures = [[np.zeros((SIZE[1], SIZE[0], 3), np.uint8) for _ in paths]] if paths else None
    return len(processor(text=[text], images=pictures, add_special_tokens=adds_start(processor, text))["input_ids"][0])


def smallest_by_brute_force(processor, builder: PromptBuilder, cases: list[np.ndarray], context: int) -> Budget | None:
    for factor in range(1, math.ceil(max(case.shape[1] for case in cases) / 2) + 1):
        tried = replace(builder, factor=factor)
        lengths = [encoded_length(processor, tried, case, LONGEST) for case in cases]
        if max(lengths) <= context:
            return Budget(factor, min(lengths), max(lengths), 4 * builder.n_pictures)
    return None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n_pictures", [1, 2])
def test_counts_equal_the_processors_encoding(any_processor, cases, mode: str, n_pictures: int) -> None:
    builder = PromptBuilder(TWO, mode=mode, n_pictures=n_pictures, factor=3)
    counter = TokenCounter(any_processor, builder, SIZE)
    leads = [builder.lead(case) for case in cases]
    counts = counter.count([builder.question(case) for case in cases], leads)
    answers = [with_lead(lead, LONGEST) for lead in leads]
    lengths = [encoded_length(any_processor, builder, *pair) for pair in zip(cases, answers, strict=True)]
    assert counts.tolist() == lengths
    assert counter.image_tokens == 4 * builder.n_pictures


def test_the_longest_answer_is_counted(processor, cases) -> None:
    builder = PromptBuilder(AnswerMap(tuple(map(str, range(60)))))
    [count] = TokenCounter(processor, builder, SIZE).count([builder.question(cases[0])])
    lengths = [encoded_length(processor, builder, cases[0], answer) for answer in builder.answer_map.answers]
    assert count == max(lengths) > min(lengths)


@pytest.mark.parametrize("method", ["mean", "adaptive", "lttb"])
@pytest.mark.parametrize("context", [105, 130, 160, 200, 260, 1000])
def test_the_factor_is_the_smallest(processor, cases, method: str, context: int) -> None:
    builder = PromptBuilder(TWO, method=method)
    expected = smallest_by_brute_force(processor, builder, cases, context)
    if expected is None:
        with pytest.raises(InputError, match="No downsampling factor"):
            choose_factor(cases, builder, processor, context, picture_size=SIZE)
    else:
        assert choose_factor(cases, builder, processor, context, picture_size=SIZE) == expected


def test_contexts_of_the_test_above_cover_both_ends(processor, cases) -> None:
    factors = [smallest_by_brute_force(processor, PromptBuilder(TWO), cases, n) for n in (105, 160, 1000)]
    assert factors[0] is None and factors[1].factor > 2 and factors[2].factor == 1


def test_a_later_case_can_decide(processor) -> None:
    cases = [np.zeros((1, 30)) for _ in range(300)]
    cases[277] = np.full((1, 30), -123456.789)
    builder = PromptBuilder(TWO)
    assert choose_factor(cases, builder, processor, 200, picture_size=SIZE) == smallest_by_brute_force(
        processor, builder, [cases[0], cases[277]], 200
    )


def test_the_builders_own_factor_is_ignored(processor, cases) -> None:
    assert choose_factor(cases, PromptBuilder(TWO, factor=9), processor, 1000, picture_size=SIZE).factor == 1


def test_an_explicit_factor_is_kept_or_refused_with_the_numbers(processor, cases) -> None:
    builder = PromptBuilder(TWO)
    assert choose_factor(cases, builder, processor, 1000, 5, SIZE).factor == 5
    needed = max(encoded_length(processor, builder, case, LONGEST) for case in cases)
    with pytest.raises(InputError, match="factor 1 is too small") as caught:
        choose_factor(cases, builder, processor, needed - 7, 1, SIZE)
    assert f"{needed} tokens, 7 more than the context's {needed - 7}" in str(caught.value)
    assert choose_factor(cases, builder, processor, needed, 1, SIZE).max_tokens == needed


def test_a_context_too_small_for_any_factor_says_the_sizes(processor, cases) -> None:
    with pytest.raises(InputError) as caught:
        choose_factor(cases, PromptBuilder(TWO), processor, 50, picture_size=SIZE)
    assert "more than the context's 50 (4 for pictures; 2 values" in str(caught.value)


def test_without_values_the_factor_is_one(processor, cases) -> None:
    builder = PromptBuilder(TWO, mode="IMAGE_ONLY")
    needed = encoded_length(processor, builder, cases[0], LONGEST)
    assert choose_factor(cases, builder, processor, needed, picture_size=SIZE) == Budget(1, needed, needed, 4)
    with pytest.raises(InputError, match="Picture and question do not fit"):
        choose_factor(cases, builder, processor, needed - 1, picture_size=SIZE)


def test_the_method_none_never_drops_a_value(processor, cases) -> None:
    builder = PromptBuilder(TWO, method="none")
    assert choose_factor(cases, builder, processor, 1000, picture_size=SIZE).factor == 1
    with pytest.raises(InputError, match="--downsampling mean"):
        choose_factor(cases, builder, processor, 150, picture_size=SIZE)


def test_two_points_are_the_least(processor) -> None:
    case = [np.array([[0.5, -0.5]])]
    builder = PromptBuilder(TWO)
    needed = encoded_length(processor, builder, case[0], LONGEST)
    assert choose_factor(case, builder, processor, needed, picture_size=SIZE).factor == 1
    with pytest.raises(InputError, match="No downsampling factor"):
        choose_factor(case, builder, processor, needed - 1, picture_size=SIZE)
