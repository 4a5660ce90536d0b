"""What a run's page says in words and numbers: headline, figures of merit, facts, the table beside other methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlm_tsc.evaluate.published import published
from vlm_tsc.report.classes import majority_share
from vlm_tsc.report.finished import FinishedRun
from vlm_tsc.report.runs import Run, collect, rows
from vlm_tsc.report.table import COLUMNS, SAME, cell, duration, footnotes, rounded, several, short


@dataclass(frozen=True)
class Tile:
    """One figure of merit, as printed."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class TableRow:
    """One method, as printed."""

    name: str
    cells: list[str]
    is_own: bool
    is_best: bool


@dataclass(frozen=True)
class MethodTable:
    """The table that `train.py` ends with, for a page. `seeds`: of the models in it."""

    seeds: str
    headings: list[str]
    rows: list[TableRow]
    published: dict[str, float]
    notes: list[str]


def name_of(run: Run) -> str:
    """The method's name, as the tables have it."""
    return rows([run], ("accuracy",))[0].name


def summary(run: FinishedRun) -> str:
    """What was trained on what, in a sentence without which no accuracy may stand."""
    m = run.metrics
    validation = f", {m['n_validation']} held out for validation" if m.get("n_validation") else ""
    return (
        f"{m['split'].capitalize()} split: {m['n_train']} training cases{validation}, {m['n_cases']} test cases, "
        f"{len(m['class_names'])} classes. Seed {m['seed']}, commit {short(m['commit'])}."
    )


def tiles(run: FinishedRun) -> list[Tile]:
    """Figures of merit; what was not measured is left out."""
    m = run.metrics
    majority = f"commonest class: {majority_share(run):.3f}"
    how = "generated answers" if m.get("answers") == "generate" else "scored answers"
    found = [
        ("accuracy", "accuracy", how if m["base"] else majority),
        ("blank picture", "accuracy_blank_image", majority),
        ("balanced", "balanced_accuracy", "mean recall of the classes"),
        ("macro F1", "macro_f1", "mean over the classes"),
        ("AUROC", "auroc", "one class against the rest"),
        ("log-loss", "log_loss", "nats a case; less is better"),
        ("calibration error", "ece", "ECE; less is better"),
        ("generated", "generated_accuracy", _unparsed(m.get("unparsed_rate"))),
    ]
    return [Tile(name, f"{m[key]:.3f}", note) for name, key, note in found if m.get(key) is not None]


def _unparsed(rate: float | None) -> str:
    return f"unparsed texts: {100 * (rate or 0):.1f} %"


def facts(run: FinishedRun) -> list[tuple[str, str]]:
    """How the run was made, beside what `summary` says; what is not known is left out."""
    m, versions = run.metrics, run.manifest.versions
    values: list[tuple[str, Any]] = [
        ("base", m["base"]),
        ("representation", m.get("data_repr")),
        ("classifier", None if m["base"] else m["classifier"]),
        ("training", _time(m.get("train_seconds"))),
        ("answering the test cases", _time(m.get("predict_seconds"))),
        ("peak memory", _gigabytes(m.get("peak_memory_mb"))),
        ("peak memory of the GPU", _gigabytes(m.get("peak_gpu_memory_mb"))),
        ("device", m.get("device")),
        *((name, versions.get(name)) for name in ("torch", "transformers") if m["base"]),
    ]
    return [(name, str(value)) for name, value in values if value not in (None, "")]


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)


def _gigabytes(megabytes: float | None) -> str | None:
    return None if megabytes is None else f"{megabytes / 1000:.2f} GB"


def method_table(run: FinishedRun) -> MethodTable:
    """This run, its other seeds, every finished run beside it on the same cases, and what is published for them."""
    own = run.metrics
    beside = [other for other in collect(run.folder.path.resolve().parent, own["split"]) if other["run"] != own["run"]]
    runs = [other for other in beside if all(other[key] == own[key] for key in SAME)]
    runs.append(own)  # of two runs with the same seed the last counts
    found = rows(runs, tuple(COLUMNS))
    keys = [key for key in COLUMNS if any(row.figures[key] is not None for row in found)]
    best = max(rounded(row) for row in found)
    shown = [
        TableRow(row.name, [cell(key, row, best) for key in keys], own["run"] in row.folders, rounded(row) == best)
        for row in found
    ]
    notes = footnotes(found, runs, len(beside) + 1 - len(runs))
    notes = [note for note in notes if not note.endswith(tuple(own["warnings"]))]  # those stand at the top of the page
    seeds = several("seed", sorted(other["seed"] for other in runs if other["base"]) or [own["seed"]])
    return MethodTable(seeds, _headings(keys), shown, published(own["dataset"], own["split"], own["n_cases"]), notes)


def _headings(keys: Sequence[str]) -> list[str]:
    words = [" ".join(part for part in COLUMNS[key] if part) for key in keys]
    return [word.replace("un- parsed", "unparsed") for word in words]
