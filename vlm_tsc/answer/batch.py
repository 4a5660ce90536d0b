"""Prompts and answers as the tensors a model takes: one collator for training, validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vlm_tsc.answer.trie import AnswerTrie
from vlm_tsc.conversation.encoding import adds_start, answer_tokens, prompt_text, scoring_text
from vlm_tsc.conversation.presentation import Shown
from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.conversation.records import question_messages
from vlm_tsc.errors import InputError

IGNORED = -100  # torch's label for positions without loss


def encode_prompts(processor: Any, shown: Sequence[Shown], *, leads: bool = False) -> dict[str, Any]:
    """Encode cases up to where the answer begins, padded on the left, never truncated.

    All cases must have equally many pictures. With `leads`, up to where the class is named: behind the rationale that
    was measured, if they have one.
    """
    texts = [prompt_text(processor, question_messages(one.question)) for one in shown]
    if leads:
        texts = [scoring_text(processor, text, one.lead) for text, one in zip(texts, shown, strict=True)]
    images = [one.pictures for one in shown] if shown[0].pictures else None
    starts = adds_start(processor, texts[0])
    return dict(processor(text=texts, images=images, padding=True, return_tensors="pt", add_special_tokens=starts))


def on_device(device: torch.device, inputs: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a batch on the model's device."""
    return {name: tensor.to(device) for name, tensor in inputs.items()}


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


def text_length(shown: Shown) -> int:
    """Characters of a case's texts: near enough to its tokens to tell which cases need little padding together."""
    return len(shown.question) + len(shown.lead)


def by_length(lengths: Sequence[int]) -> list[int]:
    """Indices of cases from the shortest to the longest; equally long ones stay in their order."""
    return sorted(range(len(lengths)), key=lengths.__getitem__)


def answer_trie(processor: Any, question: str, answers: Sequence[str], lead: str = "") -> AnswerTrie:
    """The token tree of the answers, as the chat template writes them behind this question and `lead`."""
    text = prompt_text(processor, question_messages(question))
    return AnswerTrie.build([answer_tokens(processor, text, answer, lead) for answer in answers])


def supervised_tokens(processor: Any, shown: Shown, answer: str, of_class: Sequence[int]) -> list[int]:
    """Tokens of a case's whole answer.

    Parameters
    ----------
    answer : str
        The class's.
    of_class : sequence of int
        Its tokens in the tree of answers: what the whole answer ends with, and all of it without a rationale.

    Raises
    ------
    InputError
        When the tokenizer writes the class otherwise behind this rationale: it would be trained on other tokens than
        it is asked for.
    """
    if not shown.lead:
        return list(of_class)
    prompt = prompt_text(processor, question_messages(shown.question))
    whole = answer_tokens(processor, prompt, with_lead(shown.lead, answer))
    if whole[-len(of_class) :] != list(of_class):
        got = processor.tokenizer.convert_ids_to_tokens(whole)
        raise InputError("The class has other tokens behind this rationale.", where="tokenizer of the base", got=got)
    return whole


def class_weights(labels: torch.Tensor, n_class_tokens: Sequence[int]) -> torch.Tensor:
    """Weights of the loss of `labels` (n_cases, width), each row summing to 1: half for the class, half for the rest.

    A rationale has some fifty tokens and the class two. Were all tokens alike, a model would be taught to describe, and
    hardly to classify.
    """
    weights = torch.zeros(labels.shape)
    for row, label, n in zip(weights, labels, n_class_tokens, strict=True):
        row[:-n] = (label[:-n] != IGNORED) * 0.5 / max(int((label[:-n] != IGNORED).sum()), 1)
        row[-n:] = 0.5 / n
    return weights / weights.sum(1, keepdim=True)
