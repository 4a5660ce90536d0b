"""Ask a model about many cases: class probabilities, and what it writes by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vlm_tsc.answer.batch import answer_trie, by_length, encode_prompts, on_device, text_length
from vlm_tsc.answer.members import models_of
from vlm_tsc.answer.model import computing_in
from vlm_tsc.answer.read import read_answers
from vlm_tsc.conversation.encoding import end_token_id, token_ids
from vlm_tsc.conversation.presentation import Shown
from vlm_tsc.terminal import bar

_SPARE_TOKENS = 4  # generation may run this far past the longest answer: enough to see that it is not one


@dataclass(frozen=True)
class Asked:
    """Answers to all cases, in their order.

    Attributes
    ----------
    probabilities : ndarray (n_cases, n_classes)
    generated : list of str, or None
        What the model wrote, greedily, without the end token.
    log_likelihoods : ndarray (n_cases, n_classes), or None
        log p(whole answer | picture and prompt), of which `probabilities` is the softmax; the mean over several models;
        None for several views. The term that is one for all classes of a case, log p(rationale), is left out.
    """

    probabilities: np.ndarray
    generated: list[str] | None
    log_likelihoods: np.ndarray | None = None


def ask(
    model: Any,
    processor: Any,
    cases: Sequence[Shown],
    answers: Sequence[str],
    *,
    batch_size: int,
    generate: bool = False,
    precision: torch.dtype = torch.float32,
    progress: str | None = None,
    meaning: Callable[[str], Any] = str,
) -> Asked:
    """Score every class's answer for every case, and generate freely if asked.

    A case with a lead, the rationale that was measured of its series, is scored behind it; generation begins at the
    question, so that the model has to write its own.

    Parameters
    ----------
    model
        Or `Members`, over which scores are averaged; of what they write, the commonest counts.
    cases : sequence of Shown
        May build its items on demand; then `texts(i)`, if it has that, gives item i without its pictures. Cases of
        similar length share a batch, which keeps padding small.
    answers : sequence of str
        Answer text per class.
    precision : torch.dtype
        bfloat16 runs under autocast; float32 is exact.
    progress : str, optional
        Label of a progress bar.
    meaning : callable
        Written text → what it counts for among several models, see `voted`.
    """
    was_training = model.training
    model.eval()
    tokenizer = processor.tokenizer
    texts, lengths = [], []
    for one in map(getattr(cases, "texts", cases.__getitem__), range(len(cases))):
        texts.append((one.question, one.lead))
        lengths.append(text_length(one))
    trie = answer_trie(processor, texts[0][0], answers, texts[0][1])
    end = end_token_id(processor)
    new_tokens = trie.longest + _SPARE_TOKENS + _lead_tokens(processor, [lead for _, lead in texts]) if generate else 0
    order = by_length(lengths)
    probabilities = np.empty((len(cases), len(answers)))
    log_likelihoods = np.empty_like(probabilities)
    generated = [""] * len(cases)
    members = models_of(model)
    starts = range(0, len(order), batch_size)
    for start in bar(starts, progress, unit="batch", shown=progress is not None):
        chosen = order[start : start + batch_size]
        shown = [cases[i] for i in chosen]
        explained = generate and any(one.lead for one in shown)
        with computing_in(precision, model):
            inputs = on_device(model.device, encode_prompts(processor, shown, leads=True))
            limit = 0 if explained else new_tokens
            outs = [read_answers(one, inputs, trie, end_token=end, max_new_tokens=limit) for one in members]
            if explained:
                inputs = on_device(model.device, encode_prompts(processor, shown))
                written = [read_answers(one, inputs, trie, end_token=end, max_new_tokens=new_tokens) for one in members]
        probabilities[chosen] = _mean([out.probabilities for out in outs])
        log_likelihoods[chosen] = _mean([out.log_likelihoods for out in outs])
        if generate:
            ids_of = [out.generated or [] for out in (written if explained else outs)]
            for i, of_case in zip(chosen, zip(*ids_of, strict=True), strict=True):
                generated[i] = voted([tokenizer.decode(ids, skip_special_tokens=True) for ids in of_case], meaning)
    model.train(was_training)
    return Asked(probabilities, generated if generate else None, log_likelihoods)


def _mean(tensors: Sequence[torch.Tensor]) -> np.ndarray:
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).cpu().numpy()


def _lead_tokens(processor: Any, leads: Sequence[str]) -> int:
    """Tokens to leave for a rationale: a quarter more than the longest that was measured of any case."""
    longest = max((len(ids) for ids in token_ids(processor, [lead for lead in leads if lead])), default=0)
    return longest + longest // 4


def ask_views(
    model: Any,
    processor: Any,
    views: Sequence[Sequence[Shown]],
    answers: Sequence[str],
    *,
    meaning: Callable[[str], Any] = str,
    **options: Any,
) -> Asked:
    """The mean of the probabilities over several views of the same cases, and the written answer that most views got.

    Parameters
    ----------
    views : sequence of sequences of Shown
        The same cases in the same order, shown differently.
    meaning : callable
        Written text → what it counts for in the vote, such as the class it names; by default itself. See `voted`.
    options
        As `ask` takes them.
    """
    asked = [ask(model, processor, view, answers, meaning=meaning, **options) for view in views]
    texts = [one.generated for one in asked if one.generated is not None]
    common = [voted(of_case, meaning) for of_case in zip(*texts, strict=True)]
    return Asked(np.mean([one.probabilities for one in asked], axis=0), common if texts else None)


def voted(texts: Sequence[str], meaning: Callable[[str], Any]) -> str:
    """The first of the texts that mean what most of them mean; of meanings equally common, the earliest wins."""
    meanings = [meaning(text) for text in texts]
    return texts[meanings.index(Counter(meanings).most_common(1)[0][0])]
