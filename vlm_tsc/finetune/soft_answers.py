"""The loss of an example whose answer is a distribution over classes, such as a mixture of two cases."""

from __future__ import annotations

from collections.abc import Sequence

import torch


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
        for own, fed in enumerate(answers):
            for other, answer in enumerate(answers):
                for i in range(min(len(fed), len(answer))):
                    if answer[:i] == fed[:i]:
                        column = longest - len(fed) + i  # answers end in the last column
                        self.tokens[own, column, other] = answer[i]
                        self.possible[own, column, other] = True

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
        width = min(log_p.shape[1], self.tokens.shape[1])
        tokens = self.tokens[:, -width:].to(log_p.device)[own]
        possible = self.possible[:, -width:].to(log_p.device)[own]
        weights = shares[:, None] * possible
        weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-12)
        return -(weights * log_p[:, -width:].gather(2, tokens)).sum(2), possible.any(2)
