"""The answers of all classes as one tree of tokens, so that shared beginnings are scored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class AnswerTrie:
    """Token tree of the answers.

    Only tokens that something follows are nodes: the last token of an answer is predicted, but never fed.

    Attributes
    ----------
    answers : tuple of tuple of int
        Token ids of every whole answer, end token included, in class order.
    tokens : tuple of int
        Token of each node, parents before children.
    depth : tuple of int
        0 for a first token.
    visible : Tensor (n_nodes, n_nodes), bool
        Whether node (row) attends to node (column): itself and its ancestors.
    steps : tuple of tuple of (int, int)
        For each answer its (node, token) pairs: the token is predicted by that node, -1 being the prompt's end.
    """

    answers: tuple[tuple[int, ...], ...]
    tokens: tuple[int, ...]
    depth: tuple[int, ...]
    visible: torch.Tensor
    steps: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def build(cls, answers: Sequence[Sequence[int]]) -> AnswerTrie:
        """Build the tree of `answers`, each a sequence of at least one token id."""
        nodes: dict[tuple[int, ...], int] = {}
        for answer in answers:
            for end in range(1, len(answer)):
                nodes.setdefault(tuple(answer[:end]), len(nodes))
        visible = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
        for path, node in nodes.items():
            for end in range(1, len(path) + 1):
                visible[node, nodes[path[:end]]] = True
        steps = tuple(
            tuple((nodes.get(tuple(answer[:i]), -1), token) for i, token in enumerate(answer)) for answer in answers
        )
        return cls(
            answers=tuple(tuple(answer) for answer in answers),
            tokens=tuple(path[-1] for path in nodes),
            depth=tuple(len(path) - 1 for path in nodes),
            visible=visible,
            steps=steps,
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest answer."""
        return max(len(answer) for answer in self.answers)
