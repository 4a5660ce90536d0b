"""Augmented views of a case: the series is changed a little, then shown as every case of its dataset is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vlm_tsc.conversation.budget import TokenCounter
from vlm_tsc.conversation.presentation import Presentation, Shown
from vlm_tsc.representation.augment import augment, case_rng

Cases = np.ndarray | Sequence[np.ndarray]  # (n_cases, n_channels, n_timepoints); a list when lengths differ


@dataclass(frozen=True)
class Augmented:
    """How cases are shown in another epoch: a pure function of (seed, epoch, case id).

    Attributes
    ----------
    strength : float
        Of the augmentation; 0 gives exactly what stands on disk.
    fits : callable, optional
        Whether a view is within the token budget; one whose augmented values are not falls back to the original.
    """

    presentation: Presentation
    strength: float
    seed: int
    fits: Callable[[Shown], bool] | None = None

    def holds(self, case: np.ndarray) -> bool:
        """Whether a series that is no recorded one is within the token budget as it stands."""
        return self.fits is None or self.fits(self.presentation.texts(case))

    def show(self, case: np.ndarray, case_id: str, epoch: int) -> Shown:
        """The view of `case` `(n_channels, n_timepoints)` in `epoch`."""
        shown = self.texts(case, case_id, epoch)
        return replace(shown[0], pictures=self.presentation.pictures(shown[1]))

    def texts(self, case: np.ndarray, case_id: str, epoch: int) -> tuple[Shown, np.ndarray]:
        """The view without its pictures, and the series that they are drawn from."""
        if self.strength > 0:
            changed = augment(case, self.strength, case_rng(self.seed, epoch, case_id))
            shown = self.presentation.texts(changed)
            if self.fits is None or self.fits(shown):
                return shown, changed
        return self.presentation.texts(case), case


def augmented_within(
    presentation: Presentation, processor: Any, context_length: int, *, strength: float, seed: int
) -> Augmented:
    """Augmented views whose whole conversations have at most `context_length` tokens."""
    counter = TokenCounter(processor, presentation.builder, presentation.size)

    def fits(shown: Shown) -> bool:
        return int(counter.count([shown.question], [shown.lead])[0]) <= context_length

    return Augmented(presentation, strength, seed, fits)


class ViewedCases(Sequence[Shown]):
    """All cases in one epoch's view, each drawn when it is asked for."""

    def __init__(self, cases: Cases, ids: Sequence[str], augmented: Augmented, epoch: int):
        self.cases, self.ids, self.augmented, self.epoch = cases, ids, augmented, epoch

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Shown:  # type: ignore[override]  # slices are not needed
        return self.augmented.show(self.cases[index], self.ids[index], self.epoch)

    def texts(self, index: int) -> Shown:
        """A case without its pictures, which are not drawn."""
        return self.augmented.texts(self.cases[index], self.ids[index], self.epoch)[0]


def more_views(
    cases: Cases,
    ids: Sequence[str],
    presentation: Presentation,
    processor: Any,
    n: int,
    *,
    context_length: int,
    strength: float,
    seed: int,
) -> list[ViewedCases]:
    """`n` augmented views of all cases, whatever the order of the cases."""
    if n == 0:
        return []
    augmented = augmented_within(presentation, processor, context_length, strength=strength, seed=seed)
    return [ViewedCases(cases, ids, augmented, epoch) for epoch in range(n)]
