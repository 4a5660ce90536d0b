from __future__ import annotations

import pytest

from vlm_tsc.conversation.answers import AnswerMap, letter_code
from vlm_tsc.errors import InputError


@pytest.mark.parametrize("n_classes", [2, 10, 26, 27, 60])
def test_classes_and_answers_are_a_bijection(n_classes: int) -> None:
    labels = tuple(str(i - 1) for i in range(n_classes))  # "-1" and "0" among them
    answers = AnswerMap(labels)
    assert len(set(answers.answers)) == n_classes
    assert [answers.label_of(answers.answer_of(label)) for label in labels] == list(labels)


def test_codes_count_like_spreadsheet_columns() -> None:
    assert [letter_code(i) for i in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


@pytest.mark.parametrize("text", ["", "C", "a", "A.", "AB", "A B", "1", "Answer: A"])
def test_the_parser_is_strict(text: str) -> None:
    assert AnswerMap(("1", "2")).label_of(text) is None


def test_white_space_around_an_answer_is_nothing() -> None:
    assert AnswerMap(("1", "2")).label_of(" B\n") == "2"


def test_answers_have_tokens_of_their_own(any_processor) -> None:
    AnswerMap(tuple(map(str, range(60)))).check_tokenised(any_processor.tokenizer)


def test_a_tokenizer_that_confuses_answers_is_refused(processor) -> None:
    class Blind:
        unk_token_id = 0

        def __init__(self, ids: list[int]):
            self.ids = ids

        def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [self.ids for _ in texts]}

    answers = AnswerMap(("x", "y"))
    with pytest.raises(InputError, match="same tokens"):
        answers.check_tokenised(Blind([5]))
    with pytest.raises(InputError, match="cannot write"):
        answers.check_tokenised(Blind([0]))


def test_bad_classes_are_named() -> None:
    with pytest.raises(InputError, match="One class"):
        AnswerMap(("1",))
    with pytest.raises(InputError, match="twice"):
        AnswerMap(("1", "1"))
    with pytest.raises(InputError, match="Unknown class"):
        AnswerMap(("1", "2")).answer_of("1.0")
