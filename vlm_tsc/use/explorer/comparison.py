"""Two runs, case by case: which answers agree, and which run alone is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm_tsc.use.explorer.case_index import CaseIndex

KINDS = {
    "differ": "different answers",
    "first": "only the first is right",
    "second": "only the second is right",
    "neither": "neither is right",
    "both": "both are right",
    "all": "all cases",
}


@dataclass(frozen=True)
class Comparison:
    """Cases that both runs answered, in the first one's order.

    Attributes
    ----------
    first, second : ndarray (n_common,), int
        Their rows in either index.
    kinds : dict of str to ndarray (n_common,), bool
        For each key of `KINDS` the cases that it means.
    n_left_out : int
        Cases of the first run that the second lacks, or knows with another class.
    """

    first: np.ndarray
    second: np.ndarray
    kinds: dict[str, np.ndarray]
    n_left_out: int

    def count(self, kind: str) -> int:
        return int(self.kinds[kind].sum())


def same_test(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether the metrics of two runs speak of one test part: the same dataset and split, equally many cases."""
    return all(first.get(key) == second.get(key) for key in ("dataset", "split", "n_cases"))


def compared(first: CaseIndex, second: CaseIndex) -> Comparison:
    """Cases of equal id and equal class, of runs on one test part; classes are compared by their names."""
    partner = np.array([second.row_of.get(id_, -1) for id_ in first.ids])
    number = {name: i for i, name in enumerate(first.class_names)}
    # one more entry, at -1, for a text that named no class
    as_first = np.array([*(number.get(name, len(number) + i) for i, name in enumerate(second.class_names)), -1])
    same = (partner >= 0) & (as_first[second.true[partner]] == first.true)
    rows, partners = np.flatnonzero(same), partner[same]
    right, right_too = first.is_right[rows], second.is_right[partners]
    kinds = {
        "differ": first.answered[rows] != as_first[second.answered[partners]],
        "first": right & ~right_too,
        "second": ~right & right_too,
        "neither": ~right & ~right_too,
        "both": right & right_too,
        "all": np.ones(len(rows), bool),
    }
    return Comparison(rows, partners, kinds, len(first) - len(rows))
