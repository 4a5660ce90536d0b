"""The occlusion map of one case of a run: found by its id, and written as a figure, a table and a JSON."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.splits import Splits
from vlm_tsc.errors import InputError, nearest
from vlm_tsc.files import write_json, write_text
from vlm_tsc.use.beside import CASE_HEADER
from vlm_tsc.use.csv_text import csv_text
from vlm_tsc.use.map_plot import Panel, draw_panels
from vlm_tsc.use.occlusion import Fill, OcclusionMap, occlusion_map
from vlm_tsc.use.scorer import Scorer

MOST_PANELS = 8  # channels that are drawn; the table has all


@dataclass(frozen=True)
class CaseMap:
    """A case, what the model answered, and its map.

    Attributes
    ----------
    id, true, answered : str
    probability : float
        Of the class that was answered.
    case : ndarray (n_channels, n_timepoints)
    map : OcclusionMap
        Of the true class.
    seconds : float
    """

    id: str
    true: str
    answered: str
    probability: float
    case: np.ndarray
    map: OcclusionMap
    seconds: float


def find_case(splits: Splits, case_id: str) -> tuple[np.ndarray, str]:
    """Series and class of a case of any part.

    Raises
    ------
    InputError
        When there is none of that id, with the nearest.
    """
    parts = [part for part in (splits.test, splits.validation, splits.train) if part is not None]
    for part in parts:
        if case_id in part.ids:
            i = part.ids.index(case_id)
            return np.asarray(part.X[i]), str(part.y[i])
    close = _nearest_id(case_id, [known for part in parts for known in part.ids])
    allowed = f"an id as in predictions.jsonl, {splits.test.ids[0]} to {splits.test.ids[-1]}, or of a training case"
    fix = f"did you mean {close}?" if close else None
    raise InputError("there is no such case", where="--case", got=case_id, allowed=allowed, fix=fix)


def _nearest_id(case_id: str, known: Sequence[str]) -> str | None:
    """Of ids that end in the same number, if there are such, the one that looks most alike: test-12 is test-00012."""
    number = re.search(r"\d+$", case_id)
    same = [id for id in known if number and id.rsplit("-", 1)[-1].lstrip("0") == number[0].lstrip("0")]
    return next(iter([*nearest(case_id, same or known, n=1), *same]), None)


def map_case(
    scorer: Scorer, case_id: str, case: np.ndarray, true: str, n_lengths: int, fill: Fill, progress: bool = False
) -> CaseMap:
    """Cover every window of a case; the answer is that of the whole case, asked in the same batches."""
    started = time.perf_counter()
    column, whole = scorer.class_names.index(true), []

    def of_true_class(cases: Any) -> np.ndarray:
        found = scorer.asked(cases, progress)
        assert found.log_likelihoods is not None  # as of every single view
        whole.append(found.probabilities[0])
        return found.log_likelihoods[:, column]

    made = occlusion_map(case, of_true_class, n_lengths, fill)
    shares = whole[0]  # of several adapters the mean of their probabilities, as in the run
    answered = scorer.class_names[int(shares.argmax())]
    seconds = time.perf_counter() - started
    return CaseMap(case_id, true, answered, float(shares.max()), case, made, seconds)


def write_case_map(made: CaseMap, path: Path, dataset: str, how: dict[str, Any]) -> list[Path]:
    """The figure `path`, and beside it a .csv of every timepoint and a .json of every window.

    Parameters
    ----------
    how : dict
        Options of the map, for the JSON.
    """
    n_channels, n_timepoints = made.case.shape
    order = np.argsort(-made.map.importance.max(axis=1), kind="stable")[:MOST_PANELS]
    drawn = sorted(order.tolist())
    title = f"{made.id} of {dataset} · class {made.true}, answered {made.answered} ({made.probability:.2f})"
    if len(drawn) < n_channels:
        title += f" · the {len(drawn)} channels of {n_channels} that mattered most"
    names = [f"channel {i + 1}" if n_channels > 1 else "" for i in drawn]
    points = np.arange(1, n_timepoints + 1)
    panels = [Panel(name, points, made.case[i], made.map.importance[i]) for name, i in zip(names, drawn, strict=True)]
    draw_panels(path, panels, 1, title, "time (points)")
    rows = [(c + 1, t + 1, made.case[c, t], made.map.importance[c, t]) for c, t in np.ndindex(n_channels, n_timepoints)]
    table = write_text(path.with_suffix(".csv"), csv_text([CASE_HEADER, *rows]))
    return [path, table, write_json(path.with_suffix(".json"), _facts(made, dataset) | how | _windows(made))]


def _facts(made: CaseMap, dataset: str) -> dict[str, Any]:
    channel, timepoint = made.map.peak
    return {
        "case": made.id,
        "dataset": dataset,
        "class": made.true,
        "answered": made.answered,
        "probability": made.probability,
        "log_likelihood": made.map.log_likelihood,
        "peak": {"channel": channel + 1, "timepoint": timepoint + 1},
        "seconds": round(made.seconds, 2),
    }


def _windows(made: CaseMap) -> dict[str, Any]:
    windows = [
        {"channel": one.channel + 1, "first": one.start + 1, "last": one.end, "length": one.length, "drop": drop}
        for one, drop in zip(made.map.windows, made.map.drops.tolist(), strict=True)
    ]
    return {"windows": windows}
