"""What mattered on average: the maps of many cases, over time as share of the length, one mean per class.

Every case's map is kept in a file beside the figure as soon as it is made, so that an interrupted command, or one with
a higher limit, only makes the maps that are not there yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.files import write_json, write_text
from vlm_tsc.terminal import bar
from vlm_tsc.use.beside import CLASS_HEADER
from vlm_tsc.use.csv_text import csv_text
from vlm_tsc.use.map_plot import Panel, draw_panels
from vlm_tsc.use.occlusion import Fill, occlusion_map
from vlm_tsc.use.scorer import Scorer

SHARES = np.linspace(0, 1, 101)  # of the length: one time axis for cases of every length
MOST_CLASSES, MOST_CHANNELS = 12, 4  # that are drawn; the table has all


@dataclass(frozen=True)
class ClassMap:
    """Means and standard deviations over the cases of a class, each (n_channels, 101); drops in nats."""

    label: str
    n_cases: int
    value: np.ndarray
    value_sd: np.ndarray
    drop: np.ndarray
    drop_sd: np.ndarray


def chosen_cases(part: SeriesSet, limit: int) -> list[int]:
    """At most `limit` cases of every class, drawn at random, the same each time; a higher limit adds to a lower one."""
    order = np.random.default_rng(0).permutation(part.n_cases)
    return [i for name in part.class_names for i in [int(i) for i in order if part.y[i] == name][:limit]]


def maps_file(folder: Path, part: str, **determines: Any) -> Path:
    """Where the maps of a part's cases are kept; its name has a hash of all that determines them."""
    digest = hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"maps-{part}-{digest}.jsonl"


def make_maps(
    scorer: Scorer, part: SeriesSet, cases: Sequence[int], file: Path, n_lengths: int, fill: Fill, progress: bool
) -> dict[str, np.ndarray]:
    """Case id → importance (n_channels, 101) of the cases at these indices; what `file` lacks is made and added."""
    found = _read(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    missing = [i for i in cases if part.ids[i] not in found]
    with file.open("a", encoding="utf-8") as lines:
        for i in bar(missing, unit="case", shown=progress):
            case = np.asarray(part.X[i])
            made = occlusion_map(case, scorer.of_class(str(part.y[i])), n_lengths, fill)
            found[part.ids[i]] = over_shares(made.importance)
            lines.write(json.dumps({"id": part.ids[i], "importance": found[part.ids[i]].tolist()}) + "\n")
            lines.flush()
    return {part.ids[i]: found[part.ids[i]] for i in cases}


def _read(file: Path) -> dict[str, np.ndarray]:
    """The maps in a file; a last line that was cut short is removed."""
    if not file.exists():
        return {}
    data = file.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        with file.open("r+b") as lines:
            lines.truncate(end)
    lines = map(json.loads, data[:end].splitlines())
    return {line["id"]: np.array(line["importance"]) for line in lines}


def over_shares(rows: np.ndarray) -> np.ndarray:
    """(n_channels, n_timepoints) → (n_channels, 101), linearly between the timepoints."""
    own = np.linspace(0, 1, rows.shape[1])
    return np.stack([np.interp(SHARES, own, row) for row in rows])


def averaged_maps(part: SeriesSet, cases: Sequence[int], maps: dict[str, np.ndarray]) -> list[ClassMap]:
    """One for every class that has a case among those at the indices `cases`."""
    made = []
    for name in part.class_names:
        own = [i for i in cases if part.y[i] == name]
        if own:
            values = np.stack([over_shares(np.asarray(part.X[i])) for i in own])
            drops = np.stack([maps[part.ids[i]] for i in own])
            spreads = [array.std(axis=0) for array in (values, drops)]
            made.append(ClassMap(name, len(own), values.mean(axis=0), spreads[0], drops.mean(axis=0), spreads[1]))
    return made


def write_class_maps(made: Sequence[ClassMap], path: Path, title: str, facts: dict[str, Any]) -> list[Path]:
    """The figure `path`, a row a class and a column a channel, and beside it a .csv and a .json."""
    peaks = np.array([one.drop.max(axis=1) for one in made])
    classes = sorted(np.argsort(-peaks.max(axis=1), kind="stable")[:MOST_CLASSES].tolist())
    channels = sorted(np.argsort(-peaks.max(axis=0), kind="stable")[:MOST_CHANNELS].tolist())
    if len(classes) < len(made) or len(channels) < peaks.shape[1]:
        title += f" · {len(classes)} of {len(made)} classes, {len(channels)} of {peaks.shape[1]} channels"
    panels = [_panel(made[i], c, several=peaks.shape[1] > 1) for i in classes for c in channels]
    draw_panels(path, panels, len(channels), title, "time (share of the length)")
    table = write_text(path.with_suffix(".csv"), csv_text([CLASS_HEADER, *(row for one in made for row in _rows(one))]))
    counts = {"n_cases": {one.label: one.n_cases for one in made}}
    return [path, table, write_json(path.with_suffix(".json"), facts | counts)]


def _panel(one: ClassMap, channel: int, several: bool) -> Panel:
    name = f"class {one.label}, {one.n_cases} cases" + f", channel {channel + 1}" * several
    middle = (one.value[channel], one.drop[channel])
    return Panel(name, SHARES, *middle, one.value_sd[channel], one.drop_sd[channel])


def _rows(one: ClassMap) -> list[tuple[Any, ...]]:
    arrays = (one.value, one.value_sd, one.drop, one.drop_sd)
    return [
        (one.label, one.n_cases, c + 1, round(float(SHARES[t]), 2), *(array[c, t] for array in arrays))
        for c, t in np.ndindex(one.value.shape)
    ]
