"""What is minimised: the cross-entropy of the answers' tokens, and of no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from vlm_tsc.answer.batch import IGNORED
from vlm_tsc.finetune.last_layer import LastLayer
from vlm_tsc.finetune.soft_answers import SoftAnswers

_TRUST = 0.5  # in the teacher, against the labels
_TEMPERATURE = 4.0  # of its answers


@dataclass
class AnswerLoss:
    """Mean over the cases of the mean cross-entropy of a case's answer tokens.

    Were all tokens of a batch alike, an answer of two tokens would count twice, and the loss would change with how a
    batch is split. Logits are computed for the answers' columns alone: the vocabulary is the widest layer, and a prompt
    has a hundred times more tokens than its answer.

    Attributes
    ----------
    smoothing : float
        Of the labels.
    soft : SoftAnswers, optional
        Wanted for examples with shares of several classes.
    teacher : callable, optional
        inputs -> how likely each class is, (n_cases, n_classes), to somebody else: half of the loss on the class.
    last_layer : LastLayer, optional
        Of the model; it is told how many tokens are read.
    """

    smoothing: float = 0.0
    soft: SoftAnswers | None = None
    teacher: Callable[[dict[str, Any]], torch.Tensor] | None = None
    last_layer: LastLayer | None = None

    def __call__(self, model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """The loss, and the model's outputs.

        Parameters
        ----------
        batch : dict
            The model's inputs, and `labels` (n_cases, width). `weights` of the labels' shape, each row summing to 1,
            replace the mean over a case's tokens. With `own` (n_cases,) and `shares` (n_cases, n_classes) the class is
            not certain: see `soft_answers`.
        """
        inputs = dict(batch)
        labels, weights = inputs.pop("labels"), inputs.pop("weights", None)
        own, shares = inputs.pop("own", None), inputs.pop("shares", None)
        taught = self.teacher(inputs) if shares is not None and self.teacher is not None else None
        read = labels.shape[1] + 1  # column i predicts token i + 1
        if self.last_layer is not None:
            self.last_layer.width = read
        outputs = model(**inputs, logits_to_keep=read, use_cache=False)
        logits = outputs.logits[:, :-1].float()
        loss = F.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORED, label_smoothing=self.smoothing, reduction="none"
        )
        if shares is not None and own is not None:
            loss = self._softened(loss, logits.log_softmax(-1), own, shares, taught)
        if weights is None:
            supervised = labels != IGNORED
            weights = supervised / supervised.sum(1, keepdim=True)
        return (loss * weights).sum() / len(weights), outputs

    def _softened(
        self,
        loss: torch.Tensor,
        log_p: torch.Tensor,
        own: torch.Tensor,
        shares: torch.Tensor,
        taught: torch.Tensor | None,
    ) -> torch.Tensor:
        """`loss` (n_cases, width) with the columns that name the class held against the classes' shares.

        The teacher is heard at a temperature. As a label it says little more than the label itself: it is sure of what
        it was fitted to. How it orders all the other classes is what a few hundred cases do not tell.
        """
        assert self.soft is not None  # where there are shares
        named, there = self.soft.losses(log_p, own, shares)
        width = named.shape[1]
        named = (1 - self.smoothing) * named - self.smoothing * log_p[:, -width:].mean(2)
        if taught is not None:
            distance = self.soft.distances(log_p, own, taught.to(log_p.dtype), _TEMPERATURE)
            named = (1 - _TRUST) * named + _TRUST * distance
        return torch.cat([loss[:, :-width], torch.where(there, named, loss[:, -width:])], dim=1)
