"""The training view: draw k of a run is a case of some epoch, redrawn through the run's Presentation.

All epochs are laid end to end into one sequence of draws. The trainer reads it in order, so workers, ranks and a
resumed run agree on every draw without being told the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Shown


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
    augmented : Augmented
        How a case is shown in an epoch.
    seed : int
        Of the order of the cases.
    """

    def __init__(
        self,
        cases: Sequence[np.ndarray],
        ids: Sequence[str],
        answers: Sequence[str],
        augmented: Augmented,
        *,
        n_draws: int,
        seed: int,
    ):
        self.cases, self.ids, self.answers = cases, ids, answers
        self.augmented, self.n_draws, self.seed = augmented, n_draws, seed

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, draw: int) -> Draw:
        epoch, position = divmod(draw, len(self.cases))
        i = int(epoch_order(self.seed, epoch, len(self.cases))[position])
        return Draw(self.augmented.show(self.cases[i], self.ids[i], epoch), self.answers[i])


def epoch_order(seed: int, epoch: int, n_cases: int) -> np.ndarray:
    """The order of the cases in one epoch; recomputed per draw, which costs microseconds and needs no state."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch]))).permutation(n_cases)
