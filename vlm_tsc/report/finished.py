"""One finished run, read from its folder and checked before a word is written about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction, read_predictions
from vlm_tsc.manifest import Manifest, read_manifest
from vlm_tsc.report.command import baseline_config, command_of
from vlm_tsc.report.runs import read_run
from vlm_tsc.run import RunFolder

_SHOWN = ("confusion_matrix", "prediction_histogram", "ece", "warnings")  # beside what no accuracy may lack


@dataclass(frozen=True)
class FinishedRun:
    """What the report of one run is made of.

    Attributes
    ----------
    folder : RunFolder
    metrics : dict
        metrics.json, with "run" and "settings" as `collect` gives them.
    predictions : list of Prediction
        One per test case.
    manifest : Manifest
    log : list of dict
        Lines of adapter/log.jsonl; empty for a baseline.
    presentation : Presentation or None
        How the cases were shown; None for a baseline, which sees the series themselves.
    command : str
        What to type to make the run again.
    """

    folder: RunFolder
    metrics: dict[str, Any]
    predictions: list[Prediction]
    manifest: Manifest
    log: list[dict[str, Any]]
    presentation: Presentation | None
    command: str

    def answer(self, row: Prediction) -> str | None:
        """The class that counts as the answer to a case, in the run's default answer mode; None: it named no class."""
        return row.parsed if self.metrics.get("answers") == "generate" else row.predicted


def read_finished(path: Path | str) -> FinishedRun:
    """Read a run's folder.

    Raises
    ------
    InputError
        No such folder, no run, a run that is not finished (with what to type), or a file that is broken, is missing,
        or speaks of other cases than the rest.
    """
    folder = RunFolder(Path(path))
    check_finished(folder)
    metrics, predictions = _read_metrics(folder), read_predictions(folder.predictions)
    manifest = read_manifest(folder) or Manifest()
    described = manifest.details.get("presentation")
    run = FinishedRun(
        folder=folder,
        metrics=metrics,
        predictions=predictions,
        manifest=manifest,
        log=_read_log(folder.adapter / "log.jsonl") if metrics["base"] else [],
        presentation=Presentation.from_dict(described) if described else None,
        command=command_of(folder),
    )
    _check_same_cases(run)
    return run


def check_finished(run: RunFolder) -> None:
    """Refuse a folder that is no run, or whose run has not answered its test cases yet."""
    if not run.path.is_dir():
        allowed = "a run's folder, such as runs/ItalyPowerDemand/NAME, or a folder of runs"
        raise InputError("There is no such run.", where=run.path, allowed=allowed)
    if run.metrics.is_file() and run.predictions.is_file():
        return
    if not run.config.is_file():
        raise InputError("This folder is no run.", where=run.path, got="no config.yaml", allowed="a run's folder")
    answered = run.adapter.is_dir() or run.metrics.is_file()
    lacking = run.predictions if not run.predictions.is_file() else run.metrics
    command = f"python eval/score.py {run.path}" if answered and not baseline_config(run) else command_of(run)
    raise InputError("This run is not finished.", where=run.path, got=f"no {lacking.name}", fix=command)


def _read_metrics(run: RunFolder) -> dict[str, Any]:
    metrics = read_run(run.path)
    lacking = [key for key in _SHOWN if key not in metrics]
    if lacking:
        raise InputError("This metrics.json is incomplete.", where=run.metrics, got=f"no {', '.join(lacking)}")
    return metrics


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a training log, oldest first."""
    if not path.is_file():
        raise InputError("The run has no learning curve.", where=path, fix="run train.py again")
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError("Not a JSON object.", where=f"{path}, line {number}", got=error.msg) from None
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise InputError("This line of the log names no step.", where=f"{path}, line {number}", got=text[:80])
        lines.append(line)
    return lines


def _check_same_cases(run: FinishedRun) -> None:
    """metrics.json and predictions.jsonl must be of one evaluation, or the page would show two as one."""
    n_right = sum(run.answer(row) == row.true for row in run.predictions)
    found = (len(run.predictions), round(n_right / len(run.predictions), 6))
    said = (run.metrics["n_cases"], round(run.metrics["accuracy"], 6))
    if found != said or set(run.predictions[0].probabilities) != set(run.metrics["class_names"]):
        raise InputError(
            "metrics.json and predictions.jsonl are of different evaluations.",
            where=run.folder.path,
            got=f"{said[0]} cases at {said[1]:g} and {found[0]} cases at {found[1]:g}",
            fix="remove both and evaluate again",
        )
