"""Adam and its learning rate, as the authors' Keras does it, for networks that learn at different rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

BETAS, EPSILON = (0.9, 0.999), 1e-7  # Keras' defaults; torch's epsilon is 1e-8
FACTOR, PATIENCE, MIN_RATE, MIN_CHANGE = 0.5, 50, 1e-4, 1e-4  # of the authors' ReduceLROnPlateau; the last is Keras'


class MemberAdam:
    """Adam for parameters whose first dimension is the member; torch's has one rate for all of a parameter.

    Parameters
    ----------
    parameters : mapping of str to Tensor (n_members, …)

    References
    ----------
    Kingma and Ba: Adam, ICLR 2015, the efficient form at the end of section 2.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]):
        self.parameters = dict(parameters)
        self.mean = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.square = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.step_count = 0

    @torch.no_grad()
    def step(self, rates: torch.Tensor) -> None:
        """One update by the gradients, which are then dropped; `rates` (n_members,)."""
        self.step_count += 1
        first, second = BETAS
        correction = (1 - second**self.step_count) ** 0.5 / (1 - first**self.step_count)
        parameters = list(self.parameters.values())
        gradients: list[Any] = [parameter.grad for parameter in parameters]  # each is part of every forward pass
        mean, square = list(self.mean.values()), list(self.square.values())
        # whole lists at once: a GPU spends longer on starting fifty small operations than on their work
        torch._foreach_lerp_(mean, gradients, 1 - first)
        torch._foreach_mul_(square, second)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - second)
        spread = torch._foreach_sqrt(square)
        torch._foreach_add_(spread, EPSILON)
        change = torch._foreach_div(mean, spread)
        rates = correction * rates
        torch._foreach_mul_(change, [rates.view(-1, *[1] * (one.ndim - 1)) for one in parameters])
        torch._foreach_sub_(parameters, change)
        for parameter in parameters:
            parameter.grad = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its state, the live tensors, by name."""
        state = {f"mean.{name}": value for name, value in self.mean.items()}
        state |= {f"square.{name}": value for name, value in self.square.items()}
        return state | {"step_count": torch.tensor(self.step_count)}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what `tensors` gave."""
        for name in self.parameters:
            self.mean[name].copy_(tensors[f"mean.{name}"])
            self.square[name].copy_(tensors[f"square.{name}"])
        self.step_count = int(tensors["step_count"])


class Plateau:
    """Each member's learning rate: halved whenever its training loss has not fallen for 50 epochs, down to 1e-4.

    Not torch's, which waits one epoch longer and compares relative to the best.
    """

    def __init__(self, n_members: int, rate: float, device: torch.device):
        self.rates = torch.full((n_members,), rate, device=device)
        self.best = torch.full((n_members,), torch.inf, device=device)
        self.waited = torch.zeros(n_members, dtype=torch.int64, device=device)

    def step(self, losses: torch.Tensor) -> None:
        """After an epoch with the mean training losses `losses` (n_members,)."""
        better = losses < self.best - MIN_CHANGE
        self.best = torch.where(better, losses, self.best)
        self.waited = torch.where(better, 0, self.waited + 1)
        reduce = (self.waited >= PATIENCE) & (self.rates > MIN_RATE)
        self.rates = torch.where(reduce, (self.rates * FACTOR).clamp(min=MIN_RATE), self.rates)
        self.waited = torch.where(reduce, 0, self.waited)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its state by name."""
        return {"rates": self.rates, "best": self.best, "waited": self.waited}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what `tensors` gave."""
        self.rates, self.best, self.waited = (
            tensors[name].to(self.rates.device) for name in ("rates", "best", "waited")
        )
