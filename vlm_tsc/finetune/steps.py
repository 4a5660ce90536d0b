"""How long to train, from the size of the data."""

from __future__ import annotations

import math


def choose_steps(
    n_cases: int, cases_per_step: int, *, num_epochs: float | None, epochs: float, min_steps: int, max_steps: int
) -> int:
    """Optimizer steps of a run.

    With `num_epochs` (the user's word) exactly that many passes. Otherwise the base's schedule: `epochs` passes, but at
    least `min_steps` (two passes over 23 cases teach nothing) and at most `max_steps`.
    """
    if num_epochs is not None:
        return max(1, math.ceil(num_epochs * n_cases / cases_per_step))
    return min(max_steps, max(min_steps, math.ceil(epochs * n_cases / cases_per_step)))
