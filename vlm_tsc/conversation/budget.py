"""The token budget: the smallest downsampling factor with which every case fits the context, counted, not estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vlm_tsc.conversation.encoding import adds_start, answer_text, answer_tokens, prompt_text, token_ids
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.conversation.rationale import lead_of, with_lead
from vlm_tsc.conversation.records import question_messages
from vlm_tsc.errors import InputError
from vlm_tsc.representation.downsampling import n_points
from vlm_tsc.terminal import bar

_BATCH = 256  # cases tokenised together: enough for the tokenizer's threads, little enough for memory


@dataclass(frozen=True)
class Budget:
    """What fits.

    Attributes
    ----------
    factor : int
        Downsampling factor.
    min_tokens, max_tokens : int
        Shortest and longest whole conversation: system text, pictures, question, answer, end token.
    image_tokens : int
        Tokens of one case's pictures, which are part of the above.
    """

    factor: int
    min_tokens: int
    max_tokens: int
    image_tokens: int


class TokenCounter:
    """Counts the tokens of whole conversations, as the processor's own encoding has them.

    The picture's tokens are measured once with a real picture, since they depend on its size alone. The answer counted
    is the longest of all classes, so that whatever fits can also be scored for every class.

    Parameters
    ----------
    picture_size : (int, int)
        Width and height of each picture in pixels.
    """

    def __init__(self, processor: Any, builder: PromptBuilder, picture_size: tuple[int, int]):
        self._processor = processor
        probe = prompt_text(processor, question_messages("<image>\n" * builder.n_pictures + "?"))
        lead = lead_of("?") if builder.is_explained else ""
        answers = builder.answer_map.answers
        lengths = {answer: len(answer_tokens(processor, probe, with_lead(lead, answer))) for answer in answers}
        self._answer = max(lengths, key=lengths.__getitem__)
        self._added = self._expansion(probe, builder.n_pictures, picture_size)
        self.image_tokens = self._added + builder.n_pictures  # each picture's own marker is one of its tokens

    def _expansion(self, prompt: str, n_pictures: int, size: tuple[int, int]) -> int:
        """How many tokens longer the processor makes a prompt with pictures than its tokenizer alone."""
        if not n_pictures:
            return 0
        pictures = [[np.full((size[1], size[0], 3), 255, np.uint8)] * n_pictures]
        start = adds_start(self._processor, prompt)
        encoded = self._processor(text=[prompt], images=pictures, add_special_tokens=start)
        return len(encoded["input_ids"][0]) - len(token_ids(self._processor, [prompt])[0])

    def count(self, questions: Sequence[str], leads: Sequence[str] | None = None) -> np.ndarray:
        """Tokens of the whole conversation for each question: (n_questions,) int.

        `leads` are what the answers say before the class; without them that is nothing.
        """
        texts = [
            prompt_text(self._processor, question_messages(question))
            + answer_text(self._processor, with_lead(lead, self._answer))
            for question, lead in zip(questions, leads or [""] * len(questions), strict=True)
        ]
        return np.array([len(ids) for ids in token_ids(self._processor, texts)], dtype=np.int64) + self._added


def choose_factor(
    cases: Sequence[np.ndarray],
    builder: PromptBuilder,
    processor: Any,
    context_length: int,
    explicit_factor: int | None = None,
    picture_size: tuple[int, int] = (336, 336),
) -> Budget:
    """The smallest factor with which all cases fit, or the check that `explicit_factor` does.

    Parameters
    ----------
    cases : sequence of ndarray (n_channels, n_timepoints)
        All cases of all splits: nothing is ever truncated, so the longest decides. No label is looked at.
    builder : PromptBuilder
        Its `factor` is ignored.
    context_length : int
        Tokens a whole conversation may have.
    explicit_factor : int, optional
        The user's own; never changed.

    Raises
    ------
    InputError
        When no factor fits, or not the explicit one: the sizes in numbers.
    """
    counter = TokenCounter(processor, builder, picture_size)
    fixed = explicit_factor or (1 if not builder.has_values or builder.method == "none" else None)
    longest = max(cases, key=lambda case: case.shape[1])
    last = fixed or -(-longest.shape[1] // 2)  # at which the longest case has two points left
    # Every factor passed over was refuted by a real case: the result is the smallest, though few factors were tried on
    # all cases.
    witnesses = [longest]
    for factor in range(fixed or 1, last):
        tried = replace(builder, factor=factor)
        if _measure(counter, tried, witnesses)[0].max_tokens > context_length:
            continue
        budget, worst = _measure(counter, tried, cases, stop_above=context_length)
        if budget.max_tokens <= context_length:
            return budget
        witnesses.append(worst)
    budget, worst = _measure(counter, replace(builder, factor=last), cases)
    if budget.max_tokens > context_length:
        raise _does_not_fit(budget, context_length, builder, worst, explicit_factor)
    return budget


def _measure(
    counter: TokenCounter, builder: PromptBuilder, cases: Sequence[np.ndarray], stop_above: float = np.inf
) -> tuple[Budget, np.ndarray]:
    """Count `cases`, or only until a batch with a case of more than `stop_above` tokens; also the longest case."""
    shortest, longest, worst = np.iinfo(np.int64).max, 0, cases[0]
    for start in bar(range(0, len(cases), _BATCH), "measuring", unit=f"×{_BATCH}"):
        batch = cases[start : start + _BATCH]
        counts = counter.count([builder.question(case) for case in batch], [builder.lead(case) for case in batch])
        shortest = min(shortest, int(counts.min()))
        if counts.max() > longest:
            longest, worst = int(counts.max()), batch[int(counts.argmax())]
        if longest > stop_above:
            break
    return Budget(builder.factor, shortest, longest, counter.image_tokens), worst


def _does_not_fit(
    budget: Budget, context_length: int, builder: PromptBuilder, case: np.ndarray, explicit_factor: int | None
) -> InputError:
    n_values = n_points(case.shape[1], budget.factor) * len(case) if builder.has_values else 0
    sizes = f"{budget.max_tokens} tokens, {budget.max_tokens - context_length} more than the context's {context_length}"
    parts = f"{budget.image_tokens} for pictures; {n_values} values, question and answer take the rest"
    more = f"--context-length {budget.max_tokens} or more"
    if not builder.has_values:
        what, fix = "Picture and question do not fit the context.", more
    elif explicit_factor:
        what, fix = f"The downsampling factor {explicit_factor} is too small.", f"leave --downsample out, or {more}"
    elif builder.method == "none":
        what, fix = "The values do not fit the context without downsampling.", f"--downsampling mean, or {more}"
    else:
        what, fix = "No downsampling factor makes the values fit.", f"{more}, or --data-repr IMAGE_ONLY"
    return InputError(what, where="--context-length", got=f"{sizes} ({parts})", fix=fix)
