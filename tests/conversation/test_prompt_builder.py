from __future__ import annotations

import inspect
import json
import pickle

import jinja2
import numpy as np
import pytest

from vlm_tsc.conversation import prompt
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.cards import DatasetCard, card_names, load_card
from vlm_tsc.conversation.prompt import MODES, PromptBuilder
from vlm_tsc.errors import InputError
from vlm_tsc.representation import analysis_text, statistics_text

CASE = np.sin(np.arange(24.0))[None]
TWO = AnswerMap(("1", "2"))
ITALY = load_card("ItalyPowerDemand")


def test_the_questions_word_for_word() -> None:
    questions = {mode: PromptBuilder(TWO, ITALY, mode, round_to=1, factor=8).question(CASE) for mode in MODES}
    opening = "a time series. Tell from which half of the year this day of electricity demand in Italy is.\n"
    values = "Values (means of every 8 points): 0.1 0.2 -0.1\n"
    statistics = f"Statistics: {statistics_text(CASE, 1)}\n"
    analysis = f"Signal analysis: {analysis_text(CASE)}\n"
    classes = "Classes: A = October to March, B = April to September."
    closing = f"{classes} Answer with one letter."
    explained = f'{classes} Describe the series, then end with "Answer:" and one letter.'
    shown = f"<image>\nThe plot shows {opening}"
    assert questions == {
        "BASELINE": shown + values + closing,
        "WITH_STATS": shown + values + statistics + closing,
        "WITH_SIGNAL_ANALYSIS": shown + values + analysis + closing,
        "WITH_RATIONALE": shown + values + explained,
        "IMAGE_ONLY": shown + closing,
        "TEXT_ONLY": f"Here is {opening}" + values + closing,
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n_pictures", [1, 2, 3])
def test_one_image_line_per_picture(mode: str, n_pictures: int) -> None:
    builder = PromptBuilder(TWO, mode=mode, n_pictures=n_pictures)
    question = builder.question(CASE)
    wanted = 0 if mode == "TEXT_ONLY" else n_pictures
    assert builder.n_pictures == wanted == question.count("<image>")
    assert question.startswith("<image>\n" * wanted)


def test_several_channels_take_a_line_each() -> None:
    question = PromptBuilder(TWO, mode="WITH_STATS").question(np.zeros((2, 3)))
    assert "time series with 2 channels." in question
    assert "Values:\nchannel 1: 0.00 0.00 0.00\nchannel 2: 0.00 0.00 0.00\nStatistics:\nchannel 1: min" in question


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (("1", "2"), None, "A or B"),
        (("-1", "1.0", "2"), None, "A to C"),
        (("walk", "run"), None, "A = walk, B = run"),
        (("1", "run  fast\n"), None, "A = 1, B = run fast"),
        (("1", "2"), {"1": "winter", "2": "summer"}, "A = winter, B = summer"),
        (("1", "3"), {"1": "winter", "2": "summer"}, "A or B"),  # a card that knows other labels is not believed
        (tuple(map(str, range(60))), None, "A to BH"),
    ],
)
def test_classes_are_named_where_names_say_something(labels, names, classes) -> None:
    question = PromptBuilder(AnswerMap(labels), DatasetCard("Task.", names)).question(CASE)
    assert f"\nClasses: {classes}. Answer with {'its letters' if len(labels) > 26 else 'one letter'}." in question


@pytest.mark.parametrize("dataset", [*card_names(), "Unheard"])
def test_questions_are_short(dataset: str) -> None:
    card = load_card(dataset)
    names = card.class_names or {"1": "", "2": ""}
    question = PromptBuilder(AnswerMap(tuple(names)), card, "IMAGE_ONLY").question(CASE)
    assert len(question.split()) <= 45 + 3 * max(0, len(names) - 4)  # a class costs three words: "A = name,"


@pytest.mark.parametrize(
    ("method", "words"), [("mean", "means of every 3"), ("adaptive", "1 of 3"), ("lttb", "1 of 3")]
)
def test_dropped_values_are_admitted(method: str, words: str) -> None:
    assert f"Values ({words} points" in PromptBuilder(TWO, factor=3, method=method).question(CASE)
    assert "Values: " in PromptBuilder(TWO, factor=1, method=method).question(CASE)


def test_a_question_cannot_know_the_label() -> None:
    assert list(inspect.signature(PromptBuilder.question).parameters) == ["self", "case"]


@pytest.mark.parametrize("card", [DatasetCard(), ITALY])
def test_a_builder_survives_json_and_pickle(card: DatasetCard) -> None:
    builder = PromptBuilder(TWO, card, "TEXT_ONLY", round_to=4, factor=2, method="lttb")
    assert PromptBuilder.from_dict(json.loads(json.dumps(builder.to_dict()))) == builder
    assert pickle.loads(pickle.dumps(builder)).question(CASE) == builder.question(CASE)


def test_a_template_with_an_unknown_word_fails(tmp_path, monkeypatch) -> None:
    (tmp_path / "baseline.j2").write_text("{{ label }}")
    monkeypatch.setattr(prompt, "resource_dir", lambda name: tmp_path)
    prompt._template.cache_clear()
    try:
        with pytest.raises(jinja2.UndefinedError, match="label"):
            PromptBuilder(TWO).question(CASE)
    finally:
        prompt._template.cache_clear()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "WITH_STAT"}, "did you mean WITH_STATS"),
        ({"round_to": 11}, "0 to 10"),
        ({"n_pictures": 0}, "needs a picture"),
        ({"answer_map": AnswerMap(("<image>", "walk"))}, "must not contain"),
        ({"card": DatasetCard("See <image>.")}, "must not contain"),
    ],
)
def test_bad_input_is_named(changes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PromptBuilder(**{"answer_map": TWO, **changes})
