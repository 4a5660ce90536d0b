"""The answers of sets of many classes: one token for each, and weights that tell it from the others.

Pre-training writes the letters A to P, as names of a curve's places and of choices. What it never writes is pushed away
with all else that it never writes: the output layer's rows of Q to Z came to a mean cosine of .99. And an answer cut in
two tokens ("A", "AA", "AB" begin alike) can be learned from mixtures of classes only as far as they begin alike.
"""

from __future__ import annotations

from typing import Any

import torch

from vlm_tsc.conversation.answers import letter_code

N_ANSWERS = 100  # no set of the UCR archive has more than 60 classes
_WRITTEN = 16  # A to P


def answer_words() -> list[str]:
    """The answers as they stand in a conversation, a space before each."""
    return [f" {letter_code(i)}" for i in range(N_ANSWERS)]


@torch.no_grad()
def spread_answers(model: Any, tokenizer: Any, seed: int) -> None:
    """Draw the rows of what pre-training never wrote anew, in both tables, spread as the written letters' rows are.

    Parameters
    ----------
    tokenizer
        Every one of `answer_words` is one token of it.
    """
    ids = [one for (one,) in tokenizer(answer_words(), add_special_tokens=False)["input_ids"]]
    written, others = ids[:_WRITTEN], ids[_WRITTEN:]
    random = torch.Generator().manual_seed(seed)
    for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        known = table[written].float()
        middle = known.mean(0)
        away = torch.nn.functional.normalize(torch.randn(len(others), table.shape[1], generator=random), dim=1)
        table[others] = (middle + (known - middle).norm(dim=1).mean() * away.to(middle.device)).to(table.dtype)
