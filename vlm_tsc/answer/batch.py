"""Prompts and answers as the tensors a model takes: one collator for training, validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vlm_tsc.answer.trie import AnswerTrie
from vlm_tsc.conversation.encoding import adds_start, answer_tokens, prompt_text
from vlm_tsc.conversation.presentation import Shown
from vlm_tsc.conversation.records import question_messages

IGNORED = -100  # torch's label for positions without loss


def encode_prompts(processor: Any, shown: Sequence[Shown]) -> dict[str, Any]:
    """Encode cases up to where the answer begins, padded on the left, never truncated.

    All cases must have equally many pictures.
    """
    texts = [prompt_text(processor, question_messages(one.question)) for one in shown]
    images = [one.pictures for one in shown] if shown[0].pictures else None
    starts = adds_start(processor, texts[0])
    return dict(processor(text=texts, images=images, padding=True, return_tensors="pt", add_special_tokens=starts))


def encode_examples(processor: Any, shown: Sequence[Shown], answers: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Encode prompts with their answers' tokens behind; `labels` holds the answers only, aligned on the right.

    Returns
    -------
    dict
        The model's inputs, and `labels` (n_cases, longest answer) with IGNORED on the left of shorter answers. Rows are
        shifted left so that every answer ends in the last column.
    """
    inputs = encode_prompts(processor, shown)
    ids = inputs["input_ids"]
    longest = max(len(answer) for answer in answers)
    tails = torch.full((len(answers), longest), processor.tokenizer.pad_token_id)
    labels = torch.full((len(answers), longest), IGNORED)
    for row, answer in enumerate(answers):
        tails[row, longest - len(answer) :] = labels[row, longest - len(answer) :] = torch.tensor(answer)
    beside = {"input_ids": tails, "attention_mask": (labels != IGNORED).to(inputs["attention_mask"].dtype)}
    for name, tensor in inputs.items():
        if getattr(tensor, "shape", None) == ids.shape:  # one entry per token: which are picture, for some families
            tail = beside.get(name, torch.zeros(labels.shape, dtype=tensor.dtype))
            inputs[name] = _joined(tensor, tail, labels)
    return {**inputs, "labels": labels}


def _joined(prompts: torch.Tensor, tails: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Prompts with tails behind; the padding that begins a shorter tail is moved to the left of its prompt."""
    rows = []
    for prompt, tail, label in zip(prompts, tails, labels, strict=True):
        gap = int((label == IGNORED).sum())
        rows.append(torch.cat([tail[:gap], prompt, tail[gap:]]))
    return torch.stack(rows)


def answer_trie(processor: Any, question: str, answers: Sequence[str]) -> AnswerTrie:
    """The token tree of the answers, as the chat template writes them behind this question."""
    text = prompt_text(processor, question_messages(question))
    return AnswerTrie.build([answer_tokens(processor, text, answer) for answer in answers])
