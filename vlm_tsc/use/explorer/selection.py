"""Which cases a page shows: a filter, an order and a page's number, as they stand in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

import numpy as np

from vlm_tsc.use.explorer.case_index import CaseIndex

PAGE = 24  # cases of a page
UNSURE = 0.6  # a case is unsure when its answer has less probability
SHOW = {"all": "all cases", "wrong": "wrong", "right": "right", "unsure": "unsure"}
ORDER = {"file": "as in the file", "sure": "surest first", "least": "least sure first"}


@dataclass(frozen=True)
class View:
    """A filter and a place in what it leaves.

    Attributes
    ----------
    show, order : str
        Keys of `SHOW` and `ORDER`.
    true, answered : str
        A class; "" for all.
    below : float
        What counts as unsure.
    page : int
        Counted from 1.
    """

    show: str = "all"
    true: str = ""
    answered: str = ""
    below: float = UNSURE
    order: str = "file"
    page: int = 1

    @classmethod
    def read(cls, given: Mapping[str, str]) -> View:
        """From an address; what cannot be read there is as if it were not given."""
        view = cls(true=given.get("true", ""), answered=given.get("answered", ""))
        show, order = given.get("show", ""), given.get("order", "")
        view = replace(view, show=show if show in SHOW else cls.show, order=order if order in ORDER else cls.order)
        below, page = _number(given.get("below", "")), _number(given.get("page", ""))
        view = replace(view, below=below) if below is not None and 0 < below <= 1 else view
        return replace(view, page=int(page)) if page is not None and 1 <= page < 1e9 else view

    def query(self, **more: Any) -> str:
        """The end of an address: what differs from the defaults, after `more`, which may also change fields."""
        own = {name: more.pop(name) for name in [field.name for field in fields(self)] if name in more}
        values = asdict(replace(self, **own))
        return urlencode({**more, **{name: value for name, value in values.items() if value != getattr(View, name)}})


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def selected(index: CaseIndex, view: View) -> np.ndarray:
    """Rows of the index that pass the filter, in the view's order; of equally sure ones the first in the file first."""
    kept = {
        "all": np.ones(len(index), bool),
        "wrong": ~index.is_right,
        "right": index.is_right,
        "unsure": index.confidence < view.below,
    }[view.show]
    for name, classes in ((view.true, index.true), (view.answered, index.answered)):
        if name:
            kept = kept & (classes == (index.class_names.index(name) if name in index.class_names else len(index)))
    rows = np.flatnonzero(kept)
    if view.order == "file":
        return rows
    confidence = index.confidence[rows]
    return rows[np.argsort(confidence if view.order == "least" else -confidence, kind="stable")]


@dataclass(frozen=True)
class Page:
    """One page of rows. `number` and `n_pages` count from 1; `first` is the place of its first row, from 1."""

    rows: list[int]
    number: int
    n_pages: int
    first: int
    n_rows: int


def page_of(rows: np.ndarray, number: int, size: int = PAGE) -> Page:
    """Page `number` of `rows`, or the nearest there is."""
    n_pages = max(1, -(-len(rows) // size))
    number = min(max(number, 1), n_pages)
    start = (number - 1) * size
    return Page(rows[start : start + size].tolist(), number, n_pages, start + 1, len(rows))


def neighbours(rows: np.ndarray, row: int) -> tuple[int | None, int | None, int | None]:
    """Rows before and after `row`, and its place, from 1; None where there is none."""
    found = np.flatnonzero(rows == row)
    if not len(found):
        return None, None, None
    place = int(found[0])
    before = int(rows[place - 1]) if place else None
    return before, int(rows[place + 1]) if place + 1 < len(rows) else None, place + 1
