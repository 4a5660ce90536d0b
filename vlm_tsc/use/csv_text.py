"""Rows → the text of a .csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as CSV; numbers in full, so that reading them gives the same numbers."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
