"""WITH_RATIONALE: the answer explains, then names the class; what explains knows nothing of the class."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.budget import TokenCounter, choose_factor
from vlm_tsc.conversation.encoding import (
    adds_start,
    answer_tokens,
    full_text,
    prompt_text,
    scoring_text,
    token_ids,
)
from vlm_tsc.conversation.prompt import MODES, PromptBuilder
from vlm_tsc.conversation.rationale import lead_of, named_label, split_answer, with_lead
from vlm_tsc.conversation.records import messages_of, question_messages, read_records, record, write_records
from vlm_tsc.errors import InputError
from vlm_tsc.representation import analysis_text

TWO = AnswerMap(("walk", "run"))
BUILDER = PromptBuilder(TWO, mode="WITH_RATIONALE")
CASE = np.sin(np.arange(24.0))[None]
LEAD = BUILDER.lead(CASE)


def test_the_whole_answer_word_for_word() -> None:
    assert with_lead(LEAD, "B") == f"The series: {analysis_text(CASE)}.\nAnswer: B"
    two = np.concatenate([CASE, CASE**2])
    first, second = analysis_text(two).split("\n")
    assert BUILDER.lead(two) == f"The series:\n{first}\n{second}.\nAnswer:"


def test_other_modes_answer_with_the_class_alone() -> None:
    for mode in MODES:
        lead = PromptBuilder(TWO, mode=mode).lead(CASE)
        assert (with_lead(lead, "A") == "A") == (mode != "WITH_RATIONALE")


def test_a_rationale_cannot_know_the_label_nor_a_question_the_rationale() -> None:
    assert list(inspect.signature(PromptBuilder.lead).parameters) == ["self", "case"]
    question = BUILDER.question(CASE)
    assert analysis_text(CASE) not in question and "roughness" not in question and "\nAnswer:" not in question
    assert analysis_text(CASE) in PromptBuilder(TWO, mode="WITH_SIGNAL_ANALYSIS").question(CASE)


def test_a_rationale_names_no_class() -> None:
    assert not {"walk", "run", "A", "B"} & set(LEAD.removesuffix("Answer:").replace(",", " ").split())
    assert PromptBuilder(AnswerMap(("level", "rising")), mode="WITH_RATIONALE").lead(CASE) == LEAD


@pytest.mark.parametrize("answer", ["A", "B", "AA", "BH"])
@pytest.mark.parametrize(
    "rationale", ["one line.", "The series:\nchannel 1: a.\nchannel 2: Answer: no.", "x\nAnswer: A\ny"]
)
def test_an_answer_comes_apart_as_it_was_put_together(answer: str, rationale: str) -> None:
    lead = lead_of(rationale)
    assert split_answer(with_lead(lead, answer)) == split_answer(f" {with_lead(lead, answer)}\n") == (lead, answer)


@pytest.mark.parametrize(
    "text", ["A", "Answer: A", "", " \nAnswer: A", "It rises. Answer: A", "It rises.\nA", "It rises.\nAnswer:A"]
)
def test_without_the_format_there_is_no_rationale(text: str) -> None:
    assert split_answer(text) == ("", text)
    assert named_label(TWO, text, explained=True) is None


def test_the_class_counts_where_the_mode_says_it_stands() -> None:
    assert named_label(TWO, "It rises.\nAnswer: B", explained=True) == "run"
    assert named_label(TWO, "It rises.\nAnswer: A\nIt falls.\nAnswer: B\n", explained=True) == "run"  # the last word
    assert named_label(TWO, "It rises.\nAnswer: B", explained=False) is None
    assert named_label(TWO, " B", explained=False) == "run"
    for text in (
        "It rises.\nAnswer: C",
        "It rises.\nAnswer: B.",
        "It rises.\nAnswer: A B",
        "It rises.\nAnswer: B\nor A",
    ):
        assert named_label(TWO, text, explained=True) is None


@pytest.mark.parametrize("n_channels", [1, 3])
def test_trained_scored_and_counted_are_the_same_tokens(any_processor, n_channels: int) -> None:
    case = np.random.default_rng(0).normal(size=(n_channels, 30)).cumsum(axis=1)
    question, lead = BUILDER.question(case), BUILDER.lead(case)
    prompt = prompt_text(any_processor, question_messages(question))
    whole = token_ids(
        any_processor, [full_text(any_processor, messages_of(record("x", ["0.png"], question, with_lead(lead, "B"))))]
    )[0]
    [before, start] = token_ids(any_processor, [prompt, scoring_text(any_processor, prompt, lead)])
    assert whole == before + answer_tokens(any_processor, prompt, with_lead(lead, "B"))
    of_class = answer_tokens(any_processor, prompt, "B", lead)
    assert whole == start + of_class and len(of_class) <= 3
    assert any_processor.tokenizer.decode(of_class, skip_special_tokens=True).strip() == "B"
    [count] = TokenCounter(any_processor, BUILDER, (40, 30)).count([question], [lead])
    picture = [[np.zeros((30, 40, 3), np.uint8)]]
    text = full_text(any_processor, messages_of(record("x", ["0.png"], question, with_lead(lead, "B"))))
    encoded = any_processor(text=[text], images=picture, add_special_tokens=adds_start(any_processor, text))
    assert count == len(encoded["input_ids"][0])


def test_the_rationale_takes_its_part_of_the_budget(processor) -> None:
    cases = [np.random.default_rng(i).normal(size=(1, 60)) for i in range(4)]
    plain = choose_factor(cases, PromptBuilder(TWO), processor, 2000)
    explained = choose_factor(cases, BUILDER, processor, 2000)
    assert explained.factor == plain.factor == 1
    assert explained.max_tokens > plain.max_tokens + 40
    tight = choose_factor(cases, BUILDER, processor, explained.max_tokens - 1)
    assert tight.factor > 1 and tight.max_tokens < explained.max_tokens


def test_records_are_checked_behind_the_rationale(tmp_path) -> None:
    rows = [record(str(i), ["x.png"], "<image>\nWhich?", with_lead(LEAD, answer)) for i, answer in enumerate("AB")]
    path = write_records(tmp_path / "test.json", rows)
    assert read_records(path, answers=TWO.answers, explained=True) == rows
    with pytest.raises(InputError, match="is none of A, B"):
        read_records(path, answers=TWO.answers)
    for wrong in ("A", with_lead(LEAD, "C"), with_lead(LEAD, "A") + " B"):
        path = write_records(tmp_path / "test.json", [record("x", ["x.png"], "<image>\nWhich?", wrong)])
        with pytest.raises(InputError, match="each behind a rationale"):
            read_records(path, answers=TWO.answers, explained=True)
