"""The training view: draw k of a run is a case of some epoch, redrawn through the run's Presentation.

All epochs are laid end to end into one sequence of draws. The trainer reads it in order, so workers, ranks and a
resumed run agree on every draw without being told the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.finetune.augment import augment, case_rng


@dataclass(frozen=True)
class Draw:
    """One example as the collator takes it: a case as shown, and its answer."""

    shown: Shown
    answer: str


class TrainingDraws(Dataset):
    """Draws of `n_draws` training examples.

    Parameters
    ----------
    cases, ids, answers : sequences of equal length
        `(n_channels, n_timepoints)` arrays, their ids, and their answer texts.
    strength : float
        Of the augmentation; 0 gives exactly what stands on disk.
    fits : callable, optional
        Whether a question is within the token budget; a draw whose augmented values are not falls back to the original.
    """

    def __init__(
        self,
        cases: Sequence[np.ndarray],
        ids: Sequence[str],
        answers: Sequence[str],
        presentation: Presentation,
        *,
        n_draws: int,
        strength: float,
        seed: int,
        fits: Callable[[str], bool] | None = None,
    ):
        self.cases, self.ids, self.answers = cases, ids, answers
        self.presentation = presentation
        self.n_draws, self.strength, self.seed, self.fits = n_draws, strength, seed, fits

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, draw: int) -> Draw:
        epoch, position = divmod(draw, len(self.cases))
        case_index = int(_order(self.seed, epoch, len(self.cases))[position])
        case = self.cases[case_index]
        answer = self.answers[case_index]
        if self.strength > 0:
            changed = augment(case, self.strength, case_rng(self.seed, epoch, self.ids[case_index]))
            shown = self.presentation.show(changed)
            if self.fits is None or self.fits(shown.question):
                return Draw(shown, answer)
        return Draw(self.presentation.show(case), answer)


def _order(seed: int, epoch: int, n_cases: int) -> np.ndarray:
    """The order of the cases in one epoch; recomputed per draw, which costs microseconds and needs no state."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch]))).permutation(n_cases)
