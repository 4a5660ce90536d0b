"""The training view: draw k of a run is a case of some epoch, redrawn through the run's Presentation.

All epochs are laid end to end into one sequence of draws. The trainer reads it in order, so workers, ranks and a
resumed run agree on every draw without being told the epoch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from vlm_tsc.answer.batch import by_length, text_length
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Shown
from vlm_tsc.finetune.mixup import MIXED, Mixup

_KEPT = 500  # cases that are not drawn again where no augmentation changes them: 0.2 GB at 336 pixels


@dataclass(frozen=True)
class Draw:
    """One example as the collator takes it: a case as shown, and its answer.

    Of a mixture of two cases, `answer` is that of the one which is the larger `share` of it, `other` the other's.
    """

    shown: Shown
    answer: str
    other: str = ""
    share: float = 1.0

    def shares(self, answers: Sequence[str]) -> list[float]:
        """How much of the case is of each class, in the order of their `answers`."""
        return [self.share * (one == self.answer) + (1 - self.share) * (one == self.other) for one in answers]


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
    step : int
        Draws of an optimizer step, which come in order of their cases' lengths: where a step is computed in several
        parts, each then holds cases of similar length and needs little padding. Which cases a step takes stays the
        same, and so does its loss, a mean over cases. Grouping across steps would spare more padding and change what
        a step learns from; it is not done.
    mixup : float
        Parameter of the Beta distribution of shares, see `finetune.mixup`; 0 mixes nothing.
    mixed : float
        Part of the draws that are mixtures.
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
        step: int = 1,
        mixup: float = 0.0,
        mixed: float = MIXED,
    ):
        self.cases, self.ids, self.answers = cases, ids, answers
        self.augmented, self.n_draws, self.seed, self.step = augmented, n_draws, seed, step
        self.mixup = Mixup(cases, ids, mixup, seed, mixed) if mixup > 0 else None
        self.recorded = functools.lru_cache(maxsize=_KEPT)(self._draw_recorded)
        # of the recorded views: augmentation changes a text's length by little, and would have to be done twice
        recorded = map(augmented.presentation.texts, cases if step > 1 else [])
        self.lengths = [text_length(shown) for shown in recorded]

    def __len__(self) -> int:
        return self.n_draws

    def __getitem__(self, draw: int) -> Draw:
        epoch, i = self._case(self._grouped(draw) if self.step > 1 else draw)
        if self.mixup is None and self.augmented.strength == 0:
            return self.recorded(i)
        if self.mixup is not None:
            j, share = self.mixup.partner(i, epoch)
            series = share * self.cases[i] + (1 - share) * self.cases[j]
            if self.augmented.holds(series):
                shown = self.augmented.show(series, self.ids[i], epoch)
                return Draw(shown, self.answers[i], self.answers[j], share)
        return Draw(self.augmented.show(self.cases[i], self.ids[i], epoch), self.answers[i])

    def _draw_recorded(self, case: int) -> Draw:
        """A case as it is in every epoch, where nothing changes it."""
        return Draw(self.augmented.show(self.cases[case], self.ids[case], 0), self.answers[case])

    def _case(self, draw: int) -> tuple[int, int]:
        """Epoch of a draw as shuffled, and its case."""
        epoch, position = divmod(draw, len(self.cases))
        return epoch, int(epoch_order(self.seed, epoch, len(self.cases))[position])

    def _grouped(self, draw: int) -> int:
        """The draw of the same step that takes this one's place."""
        first = draw - draw % self.step
        of_step = range(first, min(first + self.step, self.n_draws))
        return first + by_length([self.lengths[self._case(one)[1]] for one in of_step])[draw - first]


@functools.lru_cache(maxsize=8)  # a step asks for its epochs' again and again
def epoch_order(seed: int, epoch: int, n_cases: int) -> np.ndarray:
    """The order of the cases in one epoch: a pure function, so that draws need no state. Not to be written to."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch]))).permutation(n_cases)
