"""Several views of a case: which of the written answers counts."""

from __future__ import annotations

import functools

import pytest
import torch

from tests.conftest import make_set
from vlm_tsc.answer.ask import ask, voted
from vlm_tsc.answer.model import load_model
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.conversation.rationale import named_label
from vlm_tsc.conversation.records import record
from vlm_tsc.evaluate.evaluation import evaluate_records
from vlm_tsc.representation.png import png_bytes

TWO = AnswerMap(("down", "up"))


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["Rising.\nAnswer: A", "Falling.\nAnswer: B", "Level.\nAnswer: B"], 1),
        (["Rising.\nAnswer: A", "Rising.\nAnswer: A", "One.\nAnswer: B", "Two.\nAnswer: B", "3.\nAnswer: B"], 2),
        (["Rising.\nAnswer: A", "Falling.\nAnswer: B", "Level.\nAnswer: B", "Up.\nAnswer: A"], 0),  # two each
        (["Level.\nAnswer: B", "Rising.", "Answer: A"], 1),  # without a rationale it is no answer
        (["Rising.", "Level.\nAnswer: B"], 0),
    ],
)
def test_rationales_vote_for_the_class_they_name_or_together_for_none(texts, kept):
    assert voted(texts, functools.partial(named_label, TWO, explained=True)) == texts[kept]


def test_an_evaluation_counts_texts_that_name_no_class_as_one(tiny_base, tmp_path):
    model, processor = load_model(tiny_base)  # untrained: it writes no answer, but not the same of other pictures
    presentation = Presentation(PromptBuilder(TWO, round_to=1), (32, 32))
    shown = [presentation.show(case) for case in make_set(3, 0, length=8).X]
    blank = [one.blank() for one in shown]
    for i, one in enumerate(shown):
        (tmp_path / f"{i}.png").write_bytes(png_bytes(one.pictures[0]))
    records = [record(f"test-{i}", [f"{i}.png"], one.question, "A") for i, one in enumerate(shown)]
    options = {"batch_size": 3, "precision": torch.float32}
    found = evaluate_records(
        model, processor, records, tmp_path, TWO, more_views=[blank, blank], progress=False, **options
    )
    first, other = (ask(model, processor, view, TWO.answers, generate=True, **options) for view in (shown, blank))
    assert first.generated != other.generated
    assert [row.parsed for row in found.predictions] == [None] * 3
    assert [row.generated for row in found.predictions] == first.generated
