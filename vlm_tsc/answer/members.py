"""Several models that are asked as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Members:
    """Models of one base that were fine-tuned with different seeds; `ask` averages what they answer.

    Each holds the base's weights for itself, because adapters are merged where that loses nothing.
    """

    def __init__(self, models: Sequence[Any]):
        self.models = tuple(models)

    @property
    def device(self) -> torch.device:
        return self.models[0].device

    @property
    def training(self) -> bool:
        return self.models[0].training

    def to(self, device: torch.device) -> Members:
        """All of them on `device`."""
        for model in self.models:
            model.to(device)
        return self

    def train(self, mode: bool = True) -> Members:
        """All of them in training mode, or not."""
        for model in self.models:
            model.train(mode)
        return self

    def eval(self) -> Members:
        """All of them in evaluation mode."""
        return self.train(False)


def models_of(model: Any) -> tuple[Any, ...]:
    """The members, or the model alone."""
    return model.models if isinstance(model, Members) else (model,)
