"""Draws as the tensors of a training batch: prompts, the answers' tokens, and what the answer is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vlm_tsc.answer.batch import answer_trie, class_weights, encode_examples, supervised_tokens
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.finetune.draws import Draw
from vlm_tsc.finetune.soft_answers import SoftAnswers


@dataclass(frozen=True)
class Examples:
    """Encodes draws of one dataset.

    Attributes
    ----------
    of_class : mapping
        Answer → the tokens that name its class.
    explains : bool
        Whether a rationale stands in front of them.
    soft : SoftAnswers, optional
        Where an answer may be a distribution over classes.
    """

    processor: Any
    answer_map: AnswerMap
    of_class: Mapping[str, Sequence[int]]
    explains: bool
    soft: SoftAnswers | None

    @classmethod
    def of(cls, processor: Any, presentation: Presentation, train: SeriesSet, *, soft: bool) -> Examples:
        """For the cases of `train` as `presentation` shows them."""
        answer_map = presentation.builder.answer_map
        lead = presentation.builder.lead(train.X[0])
        trie = answer_trie(processor, presentation.question(train.X[0]), answer_map.answers, lead)
        of_class = dict(zip(answer_map.answers, trie.answers, strict=True))
        return cls(processor, answer_map, of_class, bool(lead), SoftAnswers(trie.answers) if soft else None)

    def tokens(self, draw: Draw) -> list[int]:
        """What is supervised of a draw: its whole answer."""
        return supervised_tokens(self.processor, draw.shown, draw.answer, self.of_class[draw.answer])

    def collate(self, draws: Sequence[Draw]) -> dict[str, Any]:
        """A batch as `AnswerLoss` takes it."""
        shown = [draw.shown for draw in draws]
        made = encode_examples(self.processor, shown, [self.tokens(draw) for draw in draws])
        if self.explains:
            made["weights"] = class_weights(made["labels"], [len(self.of_class[draw.answer]) for draw in draws])
        if self.soft is not None:
            answers = self.answer_map.answers
            made["own"] = torch.tensor([answers.index(draw.answer) for draw in draws])
            made["shares"] = torch.tensor([draw.shares(answers) for draw in draws])
        return made
