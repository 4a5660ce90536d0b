"""How long to train, from the size of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping


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


def choose_batch_size(n_cases: int, batches: Mapping[int, int], passes: float, *, times: int = 1) -> tuple[int, int]:
    """Cases a step and device, and the most steps: the first that make `passes` passes, or the last.

    Steps are what a training of a few passes lacks. Smaller ones take more time a case, but of those that the same time
    allows it learns more; where cases come again often, it does not.

    Parameters
    ----------
    batches : mapping
        Cases a step and device → most steps.
    times : int
        Batches of a step: processes, and accumulated ones.
    """
    size, steps = next(iter(batches.items()))
    for size, steps in batches.items():
        if size * times * steps >= passes * n_cases:
            break
    return size, steps
