"""What is logged of a run, and what it is called, whoever keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_tsc.config import load_settings
from vlm_tsc.manifest import Manifest, read_manifest
from vlm_tsc.run import RunFolder

# Key in adapter/log.jsonl → name of the curve.
CURVES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
    "epoch": "train/epoch",
    "eval_accuracy": "validation/accuracy",
    "eval_log_loss": "validation/log_loss",
}
TEST = (
    *("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "auroc", "ece", "unparsed_rate"),
    *("generated_accuracy", "scored_accuracy", "agreement", "accuracy_blank_image"),
)
COSTS = ("train_seconds", "predict_seconds", "peak_memory_mb", "peak_gpu_memory_mb")
NOT_PARAMETERS = ("debug", "report_to", "resume", "seeds", "workers", "formats")


@dataclass(frozen=True)
class About:
    """A run, as trackers know it.

    Attributes
    ----------
    run : RunFolder
    name : str
        The dataset's and the run's.
    parameters : dict
        Every setting, commit and numbers of cases; `run_folder` leads from the tracker to the files.
    """

    run: RunFolder
    name: str
    parameters: dict[str, str | int | float | bool]

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.run.path.parent.parent


@dataclass(frozen=True)
class Results:
    """What a finished run adds: its figures, and files to keep.

    Attributes
    ----------
    step : int
        The last optimiser step.
    figures : dict of str to float
    matrix : dict
        `class_names` and `confusion_matrix` (rows true, columns answered).
    picture, matrix_file : Path
        The confusion matrix as PNG and as JSON.
    files : list of Path
        Settings, metrics, predictions, report.
    """

    step: int
    figures: dict[str, float]
    matrix: dict[str, Any]
    picture: Path
    matrix_file: Path
    files: list[Path]


def about(run: RunFolder) -> About:
    """What the run's config.yaml and manifest.json say."""
    values = load_settings(run.config).model_dump(mode="json", exclude_none=True)
    parameters = {name: _plain(value) for name, value in values.items() if name not in NOT_PARAMETERS}
    manifest = read_manifest(run) or Manifest()
    counts = {f"n_{part}": sum(by_class.values()) for part, by_class in manifest.counts.items()}
    folder = {"run_folder": str(run.path.resolve()), "commit": manifest.commit}
    return About(run, f"{run.path.parent.name}-{run.path.name}", {**parameters, **counts, **folder})


def _plain(value: Any) -> str | int | float | bool:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return value if isinstance(value, str | int | float | bool) else str(value)


def curve(line: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one line of the log by their names; none of a line that only says when it was."""
    found = {name: float(line[key]) for key, name in CURVES.items() if isinstance(line.get(key), int | float)}
    return found if set(found) - {CURVES["epoch"]} else {}


def figures(document: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a metrics.json by their names; what could not be computed is left out."""
    named = {f"test/{key}": document.get(key) for key in TEST} | {f"cost/{key}": document.get(key) for key in COSTS}
    return {name: float(value) for name, value in named.items() if value is not None}
