"""How long to train, and how much to augment, from the size of the data."""

from __future__ import annotations

import math

_FEW = 0.4  # of the passes from which on there is all augmentation: up to so many, there is the least
_LEAST = 0.25  # of the strength


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


def augmentation_shares(n_cases: int, n_draws: int, full: float | None) -> tuple[float, float]:
    """How much of the augmentation's strength, and of the mixtures, a training takes: each 0 to 1.

    Both are there so that cases which come again and again cannot be learned by heart. Of thousands of cases each comes
    a few times, and what blurs them only keeps their classes from being told apart. So up to two fifths of `full`
    there is a quarter of the strength and no mixture, and from there on evenly more.

    Parameters
    ----------
    n_draws : int
        Training examples in all, so many times a case each.
    full : float, optional
        Times a case from which on both shares are 1; None for any number.
    """
    passes = n_draws / n_cases
    mixtures = 1.0 if full is None else min(1.0, max(0.0, (passes / full - _FEW) / (1 - _FEW)))
    return _LEAST + (1 - _LEAST) * mixtures, mixtures
