from __future__ import annotations

import numpy as np
import pytest

from vlm_tsc.conversation.encoding import (
    adds_start,
    answer_tokens,
    answer_turn,
    end_token_id,
    full_text,
    prompt_text,
    token_ids,
)
from vlm_tsc.conversation.records import messages_of, question_messages, record
from vlm_tsc.errors import InputError

QUESTION = "<image>\nThe plot shows a time series.\nValues: 0.5 -1.2 0.3\nClasses: A or B. Answer with one letter."
PICTURE = np.full((28, 28, 3), 255, np.uint8)


def encode(processor, text: str) -> list[int]:
    return processor(text=[text], images=[[PICTURE]], add_special_tokens=adds_start(processor, text))["input_ids"][0]


@pytest.mark.parametrize("answer", ["A", "B", "AB", "ZZ"])
def test_answer_tokens_are_what_the_conversation_adds_to_the_prompt(any_processor, answer: str) -> None:
    messages = messages_of(record("x", ["x.png"], QUESTION, answer))
    prompt = prompt_text(any_processor, messages[:-1])
    added = answer_tokens(any_processor, prompt, answer)
    tokenizer = any_processor.tokenizer
    # against the processor itself, with the picture expanded
    assert encode(any_processor, prompt) + added == encode(any_processor, full_text(any_processor, messages))
    assert tokenizer.decode(added[:-1]).strip() == answer
    assert added[-1] == end_token_id(any_processor)
    assert added.count(added[-1]) == 1


def test_the_sequence_is_the_templates_own_but_for_white_space(any_processor) -> None:
    messages = messages_of(record("x", ["x.png"], QUESTION, "A"))
    template = any_processor.apply_chat_template(messages, tokenize=False)
    ours = full_text(any_processor, messages)
    end = answer_turn(any_processor).end
    assert "".join(ours.split()).removesuffix(end) == "".join(template.split()).removesuffix(end)
    assert end == ("<|im_end|>" if "im_end" in any_processor.chat_template else "</s>")


def test_llava_writes_a_space_before_the_answer(processor) -> None:
    prompt = prompt_text(processor, question_messages(QUESTION))
    assert prompt.endswith("one letter. ASSISTANT:")
    assert processor.tokenizer.convert_ids_to_tokens(answer_tokens(processor, prompt, "A")) == ["▁A", "</s>"]


def test_there_is_exactly_one_start_token(any_processor) -> None:
    ids = token_ids(any_processor, [prompt_text(any_processor, question_messages(QUESTION))])[0]
    assert ids.count(any_processor.tokenizer.bos_token_id) == 1
    assert ids[0] == any_processor.tokenizer.bos_token_id


def test_several_pictures_and_none(any_processor) -> None:
    for n_pictures in (0, 2):
        prompt = prompt_text(any_processor, question_messages("<image>\n" * n_pictures + "Hello"))
        assert prompt.count("<image>") == n_pictures


BROKEN = {
    "no end": ("{% for m in messages %}{{ m['role'] }}{% endfor %}", "does not continue"),
    "other role": (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'][0]['text'] }}{% endfor %}"
        "{% if add_generation_prompt %}MODEL:{% endif %}",
        "does not continue",
    ),
    "none": (None, "no chat template"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_template_that_cannot_be_masked_is_refused(new_processor, name: str) -> None:
    template, message = BROKEN[name]
    with pytest.raises(InputError, match=message):
        answer_turn(new_processor(template))


def test_a_token_across_the_border_is_refused(new_processor) -> None:
    template = (
        "{% for m in messages %}{{ 'x' if m['role'] == 'user' else 'ASSIST' + m['content'][0]['text'] }}{% endfor %}"
        "{% if add_generation_prompt %}ASSIST{% endif %}"
    )
    made = new_processor(template)
    whole = made.tokenizer.tokenize("xASSISTANT:")
    assert "ASSIST" not in whole  # the premise: the tokenizer knows a longer piece
    with pytest.raises(InputError, match="joins"):
        answer_tokens(made, prompt_text(made, question_messages("?")), "ANT:")


def test_no_end_token_anywhere_is_refused(new_processor) -> None:
    made = new_processor("{% for m in messages %}{{ m['content'][0]['text'] }} {% endfor %}")
    made.tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end token"):
        answer_turn(made)
