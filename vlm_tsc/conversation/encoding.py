"""Messages as the text and tokens a model sees: the one place that knows how a chat template writes an answer.

What is trained, scored and counted is always the same sequence: generation prompt + answer + one end token. Templates
that leave the end token out (LLaVA-1.5 writes "ASSISTANT: A " and stops) or add white space after it are completed or
cut to that, so that a model is asked at inference exactly as it was taught.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.errors import InputError

Messages = list[dict[str, Any]]

_PROBE = "Zyzzyva"  # a stand-in for the answer, which no template writes by itself


@dataclass(frozen=True)
class AnswerTurn:
    """How a chat template continues the generation prompt.

    Attributes
    ----------
    before : str
        Text between the generation prompt and the answer, mostly " " or "".
    end : str
        The one end token: what the template writes after the answer, else the tokenizer's.
    """

    before: str
    end: str


def prompt_text(processor: Any, question_messages: Messages) -> str:
    """The text up to where the answer begins, one image token per picture."""
    return processor.apply_chat_template(question_messages, add_generation_prompt=True, tokenize=False)


def full_text(processor: Any, messages: Messages) -> str:
    """The text of a whole conversation, whose last message is the answer: prompt + answer + one end token."""
    answer = "".join(part["text"] for part in messages[-1]["content"])
    return prompt_text(processor, messages[:-1]) + answer_text(processor, answer)


def answer_text(processor: Any, answer: str) -> str:
    """What an answer adds to the generation prompt, end token included."""
    turn = answer_turn(processor)
    return turn.before + answer + turn.end


def end_token_id(processor: Any) -> int:
    """Id of the token that ends an answer, for generation to stop at."""
    return processor.tokenizer.convert_tokens_to_ids(answer_turn(processor).end)


def adds_start(processor: Any, text: str) -> bool:
    """Whether the tokenizer must add its special tokens: not where the template wrote the start token itself."""
    start = processor.tokenizer.bos_token
    return not (start and text.startswith(start))


def token_ids(processor: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered texts, image tokens not expanded; all texts come from one template."""
    if not texts:
        return []
    options = {"add_special_tokens": adds_start(processor, texts[0]), "return_attention_mask": False, "verbose": False}
    return processor.tokenizer(list(texts), **options)["input_ids"]


def scoring_text(processor: Any, prompt: str, lead: str) -> str:
    """The text up to where the class is named: the prompt, and what the answer says before the class.

    The space between that and the class is left to the class's own tokens.
    """
    return prompt + answer_turn(processor).before + lead if lead else prompt


def answer_tokens(processor: Any, prompt: str, answer: str, lead: str = "") -> list[int]:
    """The token ids that an answer adds to a generation prompt: the tokens a model is trained and scored on.

    Parameters
    ----------
    prompt : str
        From `prompt_text`.
    lead : str
        What the answer says before the class; its tokens are not among the result.

    Raises
    ------
    InputError
        When the tokenizer joins prompt and answer across their border, so that no mask over tokens can part them.
    """
    start, answer = scoring_text(processor, prompt, lead), with_lead(lead, answer)
    before, whole = token_ids(processor, [start, prompt + answer_text(processor, answer)])
    if whole[: len(before)] != before:
        raise InputError(
            "The tokenizer joins the end of the prompt and the answer into one token.",
            where="chat template of the base",
            got=repr(prompt[-20:] + answer_text(processor, answer)),
            fix="choose another --base",
        )
    added = whole[len(before) :]
    if added.count(end_token_id(processor)) != 1 or added[-1] != end_token_id(processor) or len(added) < 2:
        tokens = processor.tokenizer.convert_ids_to_tokens(added)
        raise InputError("An answer must be some tokens and one end token.", where="tokenizer of the base", got=tokens)
    return added


@functools.lru_cache(maxsize=8)
def answer_turn(processor: Any) -> AnswerTurn:
    """Find out how the processor's chat template writes an answer, by rendering one.

    Raises
    ------
    InputError
        When the processor has no chat template, when the whole conversation does not begin with the generation prompt
        (white space aside), or when there is no end token.
    """
    if not getattr(processor, "chat_template", None):
        raise InputError("The checkpoint has no chat template.", where="--base", fix="choose a chat model")
    question: Messages = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    answer: Messages = [{"role": "assistant", "content": [{"type": "text", "text": _PROBE}]}]
    prompt = prompt_text(processor, question)
    whole = processor.apply_chat_template(question + answer, tokenize=False)
    head, found, after = whole.partition(_PROBE)
    if not found or head.split()[: len(prompt.split())] != prompt.split():
        raise InputError(
            "The chat template does not continue its own generation prompt.",
            where="chat template of the base",
            got=f"prompt {prompt!r}, conversation {whole!r}",
            fix="choose another --base",
        )
    if head.startswith(prompt):
        before = head[len(prompt) :]
    else:  # they differ in white space only (LLaVA-OneVision): what inference sees, the prompt, decides
        before = "" if prompt[-1].isspace() else " "
    return AnswerTurn(before, _end_token(processor.tokenizer, after))


def _end_token(tokenizer: Any, after: str) -> str:
    written = [token for token in tokenizer.get_added_vocab() if after.lstrip().startswith(token)]
    end = max(written, key=len, default=tokenizer.eos_token)
    if not end:
        raise InputError("The tokenizer has no end token.", where="tokenizer of the base", fix="choose another --base")
    return end
