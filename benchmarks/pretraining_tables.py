"""Table and figure of a pre-training's points: cost so far, accuracy and log-loss of what was fine-tuned from them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from benchmarks import pretraining_figure
from benchmarks.pretraining_compute import cost, operations_of_steps
from benchmarks.pretraining_points import Point
from vlm_tsc.files import write_json, write_text

if TYPE_CHECKING:
    from benchmarks.pretraining import Protocol
    from vlm_tsc.pretrain.llava import LlavaPretraining

FIGURES = ("accuracy", "log_loss")


def write_tables(points: Sequence[Point], protocol: Protocol, recipe: LlavaPretraining, root: Path) -> list[Path]:
    """Write the points that are finished in `root` into `tables/` beside it; nothing where none is."""
    found = {point: _fits(root / "points" / f"{point.name}.json", protocol) for point in points}
    finished = {point: fits for point, fits in found.items() if len(fits) == len(protocol.sets) * protocol.folds}
    if not finished:
        return []
    operations = operations_of_steps(recipe, root / "operations.json")
    rows = [
        {"point": point.name, "stage": point.stage, "step": point.step, "is_end": point.is_end}
        | cost(point, recipe, operations)
        | summary(fits, protocol.sets)
        for point, fits in finished.items()
    ]
    tables = root.parent / "tables"
    how = {"sets": protocol.sets, "folds": protocol.folds, "steps": protocol.steps, "seed": protocol.seed}
    document = {"protocol": how, "operations_of_a_step": operations, "points": rows}
    title = f"{', '.join(protocol.sets)}: {protocol.folds} folds of the training split, {protocol.steps} steps each"
    return [
        write_json(tables / "pretraining.json", document),
        write_text(tables / "pretraining.csv", tidy(rows)),
        pretraining_figure.draw(rows, title, tables / "pretraining.png"),
    ]


def _fits(path: Path, protocol: Protocol) -> list[dict[str, Any]]:
    """What is measured of a point, of these sets and so measured."""
    if not path.is_file():
        return []
    known = json.loads(path.read_text(encoding="utf-8"))
    if any(known[key] != getattr(protocol, key) for key in ("folds", "steps", "seed")):
        return []
    return [fit for fit in known["fits"] if fit["dataset"] in protocol.sets]


def summary(fits: Sequence[dict[str, Any]], sets: Sequence[str]) -> dict[str, Any]:
    """Means over sets of what all held-out cases of a set give, their standard errors, and the sets' own figures.

    The error is that of the folds: with s the deviation over the k folds of a set, √(Σ s² / k) / number of sets. Folds
    share their training cases, so it says a little less than there is; points share folds and seed, so that differences
    between them are better known than it says.
    """
    own = {name: [fit for fit in fits if fit["dataset"] == name] for name in sets}
    found: dict[str, Any] = {}
    by_set: dict[str, dict[str, float]] = {name: {} for name in sets}
    for key in FIGURES:
        for name, folds in own.items():
            n = sum(fold["n_held_out"] for fold in folds)
            by_set[name][key] = sum(fold[key] * fold["n_held_out"] for fold in folds) / n
        spread = [stdev([fold[key] for fold in folds]) ** 2 / len(folds) for folds in own.values()]
        found[key] = mean(by_set[name][key] for name in sets)
        found[f"{key}_error"] = math.sqrt(sum(spread)) / len(sets)
    commits = list(dict.fromkeys(fit["commit"] for fit in fits))
    return found | {"seconds": sum(fit["seconds"] for fit in fits), "commits": commits, "sets": by_set}


def tidy(rows: Sequence[dict[str, Any]]) -> str:
    """CSV, one line for each point."""
    text = io.StringIO()
    plain = [
        {key: value for key, value in row.items() if key not in ("sets", "commits")}
        | {f"{key} {name}": value for name, figures in row["sets"].items() for key, value in figures.items()}
        for row in rows
    ]
    writer = csv.DictWriter(text, list(plain[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return text.getvalue()
