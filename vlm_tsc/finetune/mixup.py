"""Mixup (Zhang et al. 2018, arXiv:1710.09412, eq. 1) of whole series: two training cases and their two answers.

With a few dozen cases every answer is soon certain: the loss is a thousandth after a hundred steps, and the rest of the
training only makes the model surer of what it has by heart. A mixture of two cases, to be answered by both classes as
they are mixed, cannot be learned by heart. The series are mixed, not the pictures: a plot of a mixture is a plot, two
plots on top of each other are none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlm_tsc.representation.augment import case_rng

_PURPOSE = 1  # of the generator; the augmentation's has none
MIXED = 0.5  # of the draws; in a few hundred steps, mixtures alone teach too little of the cases themselves


class Mixup:
    """Who is mixed with whom: a pure function of (seed, epoch, case id).

    Parameters
    ----------
    cases : sequence of ndarray (n_channels, n_timepoints)
        Only cases of one shape are mixed; one that has no equal stays as it is.
    ids : sequence of str
    alpha : float
        Shares are drawn from Beta(alpha, alpha): 1 is any share alike, less is nearer to unmixed cases.
    seed : int
    mixed : float
        Part of the draws that are mixtures.
    """

    def __init__(self, cases: Sequence[np.ndarray], ids: Sequence[str], alpha: float, seed: int, mixed: float = MIXED):
        self.ids, self.alpha, self.seed, self.mixed = ids, alpha, seed, mixed
        self.shapes = [np.shape(case) for case in cases]
        self.alike: dict[tuple[int, ...], list[int]] = {}
        for i, shape in enumerate(self.shapes):
            self.alike.setdefault(shape, []).append(i)

    def partner(self, case: int, epoch: int) -> tuple[int, float]:
        """Index of the case that is mixed in, and the share, 0.5 to 1, that `case` keeps; often itself, whole."""
        rng = case_rng(self.seed, epoch, self.ids[case], _PURPOSE)
        if rng.random() >= self.mixed:
            return case, 1.0
        alike = self.alike[self.shapes[case]]
        share = rng.beta(self.alpha, self.alpha)
        return alike[int(rng.integers(len(alike)))], float(max(share, 1 - share))
