"""Cases as the table that MLflow hands to a model, and its answers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vlm_tsc.archive.part import Part
from vlm_tsc.errors import InputError


def input_names(n_channels: int, n_timepoints: int) -> list[str]:
    """Columns of a table of cases.

    Of one channel a column per timepoint, which a CSV can hold; of several a column per channel, each a list of values.
    """
    if n_channels == 1:
        return [f"x_{t}" for t in range(1, n_timepoints + 1)]
    return [f"channel_{c}" for c in range(1, n_channels + 1)]


def table_of(cases: Sequence[np.ndarray], names: Sequence[str]) -> pd.DataFrame:
    """Cases (n_channels, n_timepoints), a row each; a shorter series ends in missing values."""
    if len(cases[0]) > 1:
        return pd.DataFrame([[channel.tolist() for channel in case] for case in cases], columns=list(names))
    values = np.full((len(cases), len(names)), np.nan)
    for row, case in zip(values, cases, strict=True):
        length = min(case.shape[1], len(names))  # a case that is longer than all of training: its beginning
        row[:length] = case[0, :length]
    return pd.DataFrame(values, columns=list(names))


def part_of(table: pd.DataFrame) -> Part:
    """The cases of a table as they are, before the run's policies; NaN is a missing value.

    Raises
    ------
    InputError
        For channels that differ in length.
    """
    by_channel = str(table.columns[0]).startswith("channel_")
    cases = []
    for i, row in enumerate(table.itertuples(index=False), start=1):
        channels = [np.asarray(value, dtype=np.float64) for value in row] if by_channel else [_ended(row)]
        if len({len(channel) for channel in channels}) > 1:
            raise InputError("channels of a case differ in length", where=f"row {i}", got=[len(c) for c in channels])
        cases.append(np.stack(channels))
    return Part(Path("the table"), cases, [""] * len(cases))


def _ended(row: Any) -> np.ndarray:
    values = np.asarray(row, dtype=np.float64)
    there = np.flatnonzero(~np.isnan(values))
    return values[: there[-1] + 1] if len(there) else values[:0]


def answers_of(probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """A row per case: `label`, and the probability of every class as `p_<class>`."""
    answers = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    answers.insert(0, "label", [str(classes[i]) for i in probabilities.argmax(axis=1)])
    return answers
