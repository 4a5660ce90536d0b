"""The loss of an example whose answer is a distribution over classes, such as a mixture of two cases."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_NONE = -1e9  # the logit of what is no choice; infinity would make a column without any no number


class SoftAnswers:
    """The answers of all classes, held against each class's own tokens.

    What is fed to the model is one answer, that of the example's own class. At each of its tokens the classes that
    begin alike so far are still possible, and the target there is how likely each of their next tokens is. For answers
    of one token that is the whole cross-entropy; of longer ones it lacks what follows behind the other classes'
    parting, which would need a pass of its own.

    Parameters
    ----------
    answers : sequence of sequences of int
        Token ids of every class's whole answer, end token included: none is the beginning of another.
    """

    def __init__(self, answers: Sequence[Sequence[int]]):
        n, longest = len(answers), max(map(len, answers))
        self.tokens = torch.zeros(n, longest, n, dtype=torch.long)  # [own class, column, class]: its token there
        self.possible = torch.zeros(n, longest, n, dtype=torch.bool)
        self.alike = torch.arange(n).repeat(n, longest, 1)  # the first possible class with that token
        for own, fed in enumerate(answers):
            for other, answer in enumerate(answers):
                for i in range(min(len(fed), len(answer))):
                    if answer[:i] == fed[:i]:
                        column = longest - len(fed) + i  # answers end in the last column
                        self.tokens[own, column, other] = answer[i]
                        self.possible[own, column, other] = True
            for column in range(longest):
                firsts: dict[int, int] = {}
                for other in self.possible[own, column].nonzero().flatten().tolist():
                    self.alike[own, column, other] = firsts.setdefault(int(self.tokens[own, column, other]), other)

    def losses(self, log_p: torch.Tensor, own: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of each column of the answers, and which columns are theirs.

        Parameters
        ----------
        log_p : Tensor (n_cases, n_columns, vocabulary)
            Log-probabilities of the last columns; there may be fewer than the longest answer has, and more.
        own : Tensor (n_cases,), int
            Class of each case whose answer was fed.
        shares : Tensor (n_cases, n_classes)
            How likely each class is; rows sum to 1.

        Returns
        -------
        Tensors (n_cases, width), of floats and of bools: the last `width` columns.
        """
        tokens, possible, weights, _ = self._of(log_p, own, shares)
        return -(weights * log_p[:, -tokens.shape[1] :].gather(2, tokens)).sum(2), possible.any(2)

    def distances(
        self, log_p: torch.Tensor, own: torch.Tensor, shares: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """How far from `shares` the answers are, both softened: a teacher's small shares count too.

        At each column the divergence KL(shares || answers) among the tokens that classes still have there, both to the
        power 1 / `temperature` and normed, times `temperature` squared (Hinton et al. 2015, arXiv:1503.02531, sec. 2).
        It is least where the model's odds between these tokens are those of the shares themselves.

        Parameters
        ----------
        log_p, own, shares
            As for `losses`.

        Returns
        -------
        Tensor (n_cases, width)
            0 where no choice is left.
        """
        tokens, possible, weights, alike = self._of(log_p, own, shares)
        weights = torch.zeros_like(weights).scatter_add(2, alike, weights)  # a token has the shares of all its classes
        distinct = possible & (alike == torch.arange(alike.shape[2], device=alike.device))
        off = ~distinct
        wanted = (weights.clamp(min=1e-30).log() / temperature).masked_fill(off, _NONE).log_softmax(2)
        given = (log_p[:, -tokens.shape[1] :].gather(2, tokens) / temperature).masked_fill(off, _NONE).log_softmax(2)
        return (wanted.exp() * (wanted - given)).masked_fill(off, 0.0).sum(2) * temperature**2

    def _of(
        self, log_p: torch.Tensor, own: torch.Tensor, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Per case, column and class: its token, whether it is possible, its share of those that are, and `alike`."""
        width = min(log_p.shape[1], self.tokens.shape[1])
        tokens, possible, alike = (
            table[:, -width:].to(log_p.device)[own] for table in (self.tokens, self.possible, self.alike)
        )
        weights = shares[:, None] * possible
        return tokens, possible, weights / weights.sum(2, keepdim=True).clamp(min=1e-12), alike
