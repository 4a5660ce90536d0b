"""Before training: what is supervised must be the answer, and the model must see the picture.

The two faults that users of such tools report most, and that no loss curve shows: a chat template that puts the loss on
something else, and pictures that never reach the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vlm_tsc.answer.batch import IGNORED, encode_examples, encode_prompts, on_device
from vlm_tsc.answer.model import computing_in
from vlm_tsc.conversation.encoding import end_token_id
from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.draws import Draw


def check_supervision(processor: Any, draws: Sequence[Draw], tokens: Sequence[Sequence[int]]) -> None:
    """Decode the labels of real examples and refuse if they are not exactly the answer and the end token."""
    tokenizer = processor.tokenizer
    batch = encode_examples(processor, [draw.shown for draw in draws], tokens)
    for draw, labels, ids in zip(draws, batch["labels"], batch["input_ids"], strict=True):
        supervised = labels[labels != IGNORED]
        text = tokenizer.decode(supervised, skip_special_tokens=True).strip()
        answer = with_lead(draw.shown.lead, draw.answer)
        ends = int(supervised[-1]) == end_token_id(processor)
        in_place = torch.equal(ids[-len(supervised) :], supervised)
        if text != answer or not ends or not in_place:
            raise InputError(
                "The loss would not be on the answer.",
                where="preflight (chat template of the base)",
                got=f"supervised tokens {tokenizer.decode(supervised)!r}",
                allowed=f"{answer!r} and the end token",
            )


@torch.no_grad()
def check_sees_picture(
    model: Any, processor: Any, draws: Sequence[Draw], precision: torch.dtype = torch.float32
) -> float:
    """The largest change of a logit when the pictures are blanked; refuses when there is none.

    Returns 0 without a check where there are no pictures.
    """
    if not draws[0].shown.pictures:
        return 0.0
    logits = []
    for shown in ([draw.shown for draw in draws], [draw.shown.blank() for draw in draws]):
        inputs = on_device(model.device, encode_prompts(processor, shown))
        with computing_in(precision, model):
            logits.append(model(**inputs, logits_to_keep=1).logits[:, -1].float())
    change = float((logits[0] - logits[1]).abs().max())
    if not change > 0:
        raise InputError(
            "The picture does not reach the model: blanking it changes nothing.",
            where="preflight",
            got="equal logits with and without the picture",
            fix="check the base's image token and chat template, or use --data-repr TEXT_ONLY",
        )
    return change
