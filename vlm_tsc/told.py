"""What is told of runs: their data, the table, report.html, the JSON document, and what trackers are sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_tsc import terminal
from vlm_tsc.archive import Splits
from vlm_tsc.config import Settings
from vlm_tsc.errors import InputError
from vlm_tsc.job import presentation_of
from vlm_tsc.manifest import read_manifest
from vlm_tsc.options import raise_all
from vlm_tsc.run import RunFolder

_NAME = 34  # characters of a class's name: with three parts a line has 80


def data_summary(run: RunFolder) -> str:
    """Counts per class and split, the downsampling factor and the token range, for people."""
    manifest = read_manifest(run)
    assert manifest is not None
    presentation = presentation_of(run)
    tokens = manifest.details["tokens"]
    parts = list(manifest.counts)
    width = min(_NAME, max([5, *(len(name) for name in presentation.builder.answer_map.class_names)]))
    lines = [f"{'class':<{width}}  answer  " + "".join(f"{part:>12}" for part in parts)]
    for name, answer in zip(
        presentation.builder.answer_map.class_names, presentation.builder.answer_map.answers, strict=True
    ):
        counts = "".join(f"{manifest.counts[part].get(name, 0):>12}" for part in parts)
        lines.append(f"{name[:width]:<{width}}  {answer:<6}  {counts}")
    builder = presentation.builder
    how = f"one value in {builder.factor} ({builder.method})" if builder.factor > 1 else "every value"
    if not builder.has_values:
        how = "no values"
    lines.append(f"text: {how}; tokens a case: {tokens['min']} to {tokens['max']}, of which pictures {tokens['image']}")
    return "\n".join(lines)


def table_text(settings: Settings, runs: Sequence[RunFolder], splits: Splits, notes: Sequence[str] = ()) -> str:
    """The table of these runs and every finished baseline of the same set and split."""
    from vlm_tsc.evaluate.published import published
    from vlm_tsc.report import collect, table

    found = collect(runs[0].path.parent, splits.split)
    own = {run.path.name for run in runs}
    shown = [run for run in found if run["run"] in own] + [run for run in found if run["run"] not in own]
    return table(shown, published(splits.test.name, splits.split, splits.test.n_cases), notes=notes)


def write_reports(runs: Sequence[RunFolder]) -> list[Path]:
    """Write each run's own report.html, after the last run and the baselines: its table holds all of them."""
    from vlm_tsc.report import write_report

    return [write_report([run.path], run.report) for run in terminal.bar(runs, "reports", unit="run")]


def track(settings: Settings, runs: Sequence[RunFolder]) -> list[str]:
    """Log finished runs to the trackers of `--report-to`, once their reports are written; what to tell of each.

    Raises
    ------
    InputError
        Naming every run that could not be logged, after all of them were tried.
    """
    if not settings.report_to:
        return []
    from vlm_tsc.tracking import log_finished

    lines: list[str] = []
    problems = []
    for run in runs:
        try:
            lines += log_finished(settings.report_to, run)
        except InputError as problem:
            problems.append(problem)
    if problems:
        terminal.answer(notes=terminal.said(lines))
    raise_all(problems, "logging the runs")
    return lines


def answer_of(runs: Sequence[RunFolder], notes: Sequence[str] = ()) -> dict[str, Any]:
    """What `--json` says of runs: their folders, and of finished ones the metrics and the report."""
    from vlm_tsc.evaluate.metrics import read_metrics

    found = []
    for run in runs:
        manifest = read_manifest(run)
        facts: dict[str, Any] = {"folder": str(run.path), "counts": manifest.counts if manifest else {}}
        if run.metrics.exists():
            facts |= {"metrics": read_metrics(run.metrics)}
        found.append(facts | ({"report": str(run.report)} if run.report.exists() else {}))
    return {"runs": found, "notes": list(notes)}
