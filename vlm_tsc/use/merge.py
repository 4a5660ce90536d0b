"""The adapter merged into its base, and the proof that it answers as before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from vlm_tsc.answer.batch import encode_prompts, on_device
from vlm_tsc.answer.model import device, load_model
from vlm_tsc.answer.quantised import dequantise_into
from vlm_tsc.conversation.presentation import Shown
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.adapter import load_adapter, quantisation_in

LARGEST_LOGIT = 1e-3
LARGEST_PROBABILITY = 1e-2


@dataclass(frozen=True)
class Difference:
    """Between the adapter and what it was merged to, over `n_cases` real prompts.

    Attributes
    ----------
    logit, probability : float
        Largest change of a next token's logit, and of its probability.
    same : int
        Cases whose most likely token stayed the same.
    """

    n_cases: int
    logit: float
    probability: float
    same: int

    def __str__(self) -> str:
        return (
            f"logits differ by at most {self.logit:.2g}, probabilities by {self.probability:.2g}; "
            f"the same first token in {self.same} of {self.n_cases} cases"
        )


class AnswersDiffer(InputError):
    """The merged model does not answer as its adapter does."""

    def __init__(self, difference: Difference, allowed: float, fix: str | None):
        super().__init__(
            "The merged model does not answer as its adapter does; nothing was written.",
            where="--merge",
            got=difference,
            allowed=f"at most {allowed:g}, and the same first token in every case",
            fix=fix,
        )
        self.difference = difference


def merge(
    adapter: Path, base_folder: Path, dtype: torch.dtype, cases: Sequence[Shown], *, dequantise: bool = False
) -> tuple[Any, Any, Difference]:
    """Model in `dtype` with the adapter in its weights, processor, and how its answers differ from the adapter's.

    Parameters
    ----------
    adapter, base_folder : Path
        Finished adapter, and the checkpoint it was trained on.
    cases : sequence of Shown
        Prompts to compare on.
    dequantise : bool
        Merge an adapter of a quantised base into the values that its base computed with, unpacked to `dtype`.

    Raises
    ------
    InputError
        When the base was quantised and `dequantise` was not asked for; `AnswersDiffer` when the merged model answers
        otherwise.
    """
    model, processor, facts = load_adapter(adapter, base_folder, torch.float32)
    quantised = quantisation_in(facts)
    if quantised is not None and not dequantise:
        raise InputError(
            "This adapter was trained on a quantised base, into which it cannot be merged exactly.",
            where=adapter,
            got=f"a base in {quantised.kind}",
            fix="--dequantise, to merge it into the base's unpacked weights",
        )
    before = next_token_logits(model.to(device()), processor, cases)
    if quantised is not None:
        plain, _ = load_model(base_folder, torch.float32)
        dequantise_into(plain, model.get_base_model())
        model = PeftModel.from_pretrained(plain.to(device()), adapter).eval()
    if isinstance(model, PeftModel):
        model = model.merge_and_unload(safe_merge=True)
    model = model.to(dtype)
    found = difference(before, next_token_logits(model, processor, cases))
    _check(found, dtype, exact=dtype == torch.float32 and quantised is None)
    return model.cpu(), processor, found


@torch.no_grad()
def next_token_logits(model: Any, processor: Any, cases: Sequence[Shown]) -> torch.Tensor:
    """Logits of the token that names the class: (n_cases, vocabulary) float32; case by case, so without padding."""
    rows = []
    for case in cases:
        inputs = on_device(model.device, encode_prompts(processor, [case], leads=True))
        rows.append(model(**inputs, logits_to_keep=1).logits[0, -1].float().cpu())
    return torch.stack(rows)


def difference(before: torch.Tensor, after: torch.Tensor) -> Difference:
    """Of two arrays of logits (n_cases, vocabulary)."""
    return Difference(
        n_cases=len(before),
        logit=float((after - before).abs().max()),
        probability=float((after.softmax(-1) - before.softmax(-1)).abs().max()),
        same=int((after.argmax(-1) == before.argmax(-1)).sum()),
    )


def _check(found: Difference, dtype: torch.dtype, *, exact: bool) -> None:
    """Logits are compared where both are in float32; elsewhere one of 20 is known to 0.1 only: probabilities are."""
    changed, allowed = (found.logit, LARGEST_LOGIT) if exact else (found.probability, LARGEST_PROBABILITY)
    if found.same < found.n_cases or not changed <= allowed:
        raise AnswersDiffer(found, allowed, None if dtype == torch.float32 else "--precision fp32")
