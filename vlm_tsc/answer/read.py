"""What the model answers: the likelihood of every class's whole answer, and the text it writes by itself.

Picture and prompt are encoded once. The tree of all answers is then read in one more pass: its nodes stand side by
side after the prompt, each attending to the prompt and to its own ancestors only (the tree attention of speculative
decoding, arXiv 2305.09781), at the position it would have in its own answer. That equals one full pass per class,
without copying the cache for every class. Free generation goes on from the same cache.

A picture may take fewer positions than tokens (the three-dimensional positions of Qwen2-VL and its relatives, arXiv
2409.12191). Such models keep the difference in `rope_deltas`; text has one position on every axis, so one number per
token is enough for what follows the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vlm_tsc.answer.attention import ADDING_MASKS, attention_with_masks
from vlm_tsc.answer.trie import AnswerTrie


@dataclass(frozen=True)
class Answers:
    """Answers to one batch.

    Attributes
    ----------
    log_likelihoods : Tensor (n_cases, n_classes), float32
        log p(whole answer, end token included | picture and prompt).
    generated : list of list of int, or None
        Greedy continuation per case without the end token; None if it was not asked for.
    """

    log_likelihoods: torch.Tensor
    generated: list[list[int]] | None

    @property
    def probabilities(self) -> torch.Tensor:
        """Softmax over the classes: (n_cases, n_classes)."""
        return self.log_likelihoods.softmax(dim=1)


@torch.no_grad()
def read_answers(
    model: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    trie: AnswerTrie,
    *,
    end_token: int | None = None,
    max_new_tokens: int = 0,
) -> Answers:
    """Score every answer of `trie` for a batch of prompts, and generate if `max_new_tokens` > 0.

    Parameters
    ----------
    inputs : mapping
        The processor's output for prompts that end where the answer begins: `input_ids` and `attention_mask`
        (n_cases, length) padded on the left, and what else the model takes (`pixel_values`, …).
    end_token : int
        Id of the end token; needed to generate.
    """
    with attention_with_masks(model):
        return _read(model, inputs, trie, end_token, max_new_tokens)


def _read(
    model: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    trie: AnswerTrie,
    end_token: int | None,
    max_new_tokens: int,
) -> Answers:
    _forget_positions(model)
    prompt = model(**inputs, use_cache=True, logits_to_keep=1)
    cache = prompt.past_key_values
    first = prompt.logits[:, -1].float().log_softmax(-1)
    mask = inputs["attention_mask"]
    position = _next_positions(model, mask)
    later = _node_log_probabilities(model, mask, cache, position, trie)
    columns = []
    for steps in trie.steps:
        parts = [first[:, token] if node < 0 else later[:, node, token] for node, token in steps]
        columns.append(torch.stack(parts).sum(0))
    generated = None
    if max_new_tokens:
        if end_token is None:
            raise ValueError("end_token is needed to generate")
        if trie.tokens:
            cache.crop(-len(trie.tokens))  # forget the tree again
        generated = _greedy(model, mask, cache, position, first, end_token, max_new_tokens)
    return Answers(torch.stack(columns, dim=1), generated)


def _forget_positions(model: Any) -> None:
    """Drop what an earlier prompt left: a prompt without pictures would take its positions from there."""
    for module in model.modules():
        if getattr(module, "rope_deltas", None) is not None:
            module.rope_deltas = None


def _next_positions(model: Any, prompt_mask: torch.Tensor) -> torch.Tensor:
    """Position of the token after each prompt: (n_cases, 1).

    Most models count padding too, which shifts all positions of a case alike and changes nothing.
    """
    for module in model.modules():
        if (deltas := getattr(module, "rope_deltas", None)) is not None:
            return prompt_mask.sum(1, keepdim=True) + deltas.to(prompt_mask.device)
    return torch.full_like(prompt_mask[:, :1], prompt_mask.shape[1])


def _node_log_probabilities(
    model: nn.Module, prompt_mask: torch.Tensor, cache: Any, position: torch.Tensor, trie: AnswerTrie
) -> torch.Tensor:
    """log p(next token | prompt, path to node): (n_cases, n_nodes, vocabulary); empty without nodes."""
    n_cases, n_nodes, length = len(prompt_mask), len(trie.tokens), prompt_mask.shape[1]
    device = prompt_mask.device
    if n_nodes == 0:
        return torch.empty(n_cases, 0, 0, device=device)
    to_prompt = prompt_mask.bool()[:, None, None, :].expand(n_cases, 1, n_nodes, length)
    to_nodes = trie.visible.to(device)[None, None].expand(n_cases, 1, n_nodes, n_nodes)
    visible = torch.cat([to_prompt, to_nodes], dim=3)
    out = model(
        input_ids=torch.tensor(trie.tokens, device=device).expand(n_cases, n_nodes),
        attention_mask=_as_mask(model, visible),
        position_ids=position + torch.tensor(trie.depth, device=device),
        past_key_values=cache,
        use_cache=True,
    )
    return out.logits.float().log_softmax(-1)


def _as_mask(model: Any, visible: torch.Tensor) -> torch.Tensor:
    """True where a node may look, or for an attention that adds its mask to the scores, 0 there."""
    if model.config.get_text_config()._attn_implementation not in ADDING_MASKS:
        return visible
    return torch.zeros(visible.shape, device=visible.device).masked_fill(~visible, torch.finfo(torch.float32).min)


def _greedy(
    model: nn.Module,
    prompt_mask: torch.Tensor,
    cache: Any,
    position: torch.Tensor,
    first: torch.Tensor,
    end_token: int,
    max_new_tokens: int,
) -> list[list[int]]:
    """Greedy decoding from an encoded prompt; the end token stops a case and is not returned."""
    written: list[list[int]] = [[] for _ in range(len(first))]
    running = torch.ones(len(first), dtype=torch.bool, device=first.device)
    mask, token = prompt_mask, first.argmax(-1)
    for step in range(max_new_tokens):
        running &= token != end_token
        if not running.any():
            break
        for case in running.nonzero().flatten().tolist():
            written[case].append(int(token[case]))
        if step + 1 == max_new_tokens:
            break
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        out = model(
            input_ids=token[:, None],
            attention_mask=mask,
            position_ids=position + step,
            past_key_values=cache,
            use_cache=True,
        )
        token = out.logits[:, -1].argmax(-1)
    return written
