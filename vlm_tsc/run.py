"""The run folder: its name, and the path of every file in it."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_tsc.config import Settings, settings_from
from vlm_tsc.errors import InputError
from vlm_tsc.settings import PLAIN_NAME, is_plain_name

# What changes neither the data nor the adapter stays out of a run's default name. A new setting is in, until it is
# put here: two runs too many are better than two in one folder.
NEUTRAL = (
    *("dataset", "data_dir", "llava_root", "deepspeed", "report_to", "resume", "checkpoint_steps", "seed", "seeds"),
    *("answers", "eval_batch_size", "views", "baselines", "vlm_root", "run_name", "scenario", "workers", "formats"),
    *("micro_batch", "gradient_checkpointing", "search", "debug"),
)
SEEDLESS = frozenset(NEUTRAL) - {"seed"}
PRESENTATION = (
    *("data_repr", "round_to", "context_length", "downsample", "downsampling"),
    *("pictures", "limits", "channels", "plot_downsampled_graph"),
)
DATA_GROUPS = ("data", "picture", "text")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; nothing is created by asking for a path."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def series(self) -> Path:
        return self.path / "series.npz"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def train(self) -> Path:
        return self.path / "train.json"

    @property
    def validation(self) -> Path:
        return self.path / "validation.json"

    @property
    def test(self) -> Path:
        return self.path / "test.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def members(self) -> Path:
        return self.path / "members"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.jsonl"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def tracking(self) -> Path:
        return self.path / "tracking.json"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def explanations(self) -> Path:
        return self.path / "explain"


def run_folder(settings: Settings, dataset_name: str, seed: int | None = None) -> RunFolder:
    """`<vlm_root>/runs/<dataset_name>/<name>/`.

    Parameters
    ----------
    settings : Settings
        A `run_name` in them is the name; with several `seeds`, "-seed<N>" is added to it.
    dataset_name : str
        The dataset's name, not its path.
    seed : int, optional
        Seed of this run; default `settings.seed`.

    Raises
    ------
    InputError
        When `dataset_name` cannot be one folder's name.
    """
    seed = settings.seed if seed is None else seed
    if not is_plain_name(dataset_name):
        raise InputError("this cannot name a folder of runs", where="dataset", got=dataset_name, allowed=PLAIN_NAME)
    name = settings.run_name or default_run_name(settings, seed)
    if settings.run_name and len(settings.seeds or ()) > 1:
        name = f"{name}-seed{seed}"
    return RunFolder(settings.vlm_root / "runs" / dataset_name / name)


def default_run_name(settings: Settings, seed: int) -> str:
    """Base, mode, split unless official, "search" where settings are searched, and seed; then six hex digits.

    The digits are of the other settings that are not the base's, where there are any.
    Examples: `plot-llava-mini-image-only-seed0`, `plot-llava-mini-with-stats-pooled-seed1-3f9c02`.
    """
    base = re.sub(r"[^\w.-]+", "-", Path(settings.base).name).strip("-.") or "base"
    words = [base[:40], settings.data_repr.lower().replace("_", "-")]
    if settings.split != "official":
        words.append(settings.split.replace(":", "-"))
    if settings.search:
        words.append("search")
    words.append(f"seed{seed}")
    others = _differences(settings)
    if base != settings.base:  # two folders may share their last name
        others["base"] = settings.base
    if others:
        words.append(hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()[:6])
    return "-".join(words)


def _differences(settings: Settings) -> dict[str, Any]:
    usual = settings_from({"base": settings.base, "llava_root": settings.llava_root}).model_dump(mode="json")
    values = settings.model_dump(mode="json")
    in_name = {*NEUTRAL, "base", "data_repr", "split"}
    return {key: value for key, value in values.items() if key not in in_name and value != usual[key]}


def data_settings(settings: Settings) -> dict[str, Any]:
    """The settings that determine a run's data (with the series themselves), as JSON values, for `data_hash`.

    The seed is among them because it chooses the validation cases.
    """
    values = settings.model_dump(mode="json")
    names = [name for name, field in Settings.model_fields.items() if _group(field) in DATA_GROUPS]
    return {name: values[name] for name in [*names, "base", "seed"] if name not in SEEDLESS}


def presentation_settings(settings: Settings) -> dict[str, Any]:
    """The settings that `conversation.prepare.choose_presentation` takes."""
    return {name: getattr(settings, name) for name in PRESENTATION}


def shown_settings(settings: Settings) -> dict[str, Any]:
    """How cases are shown to a base, and what opening it takes: what a linear probe of it is made with."""
    return presentation_settings(settings) | {
        "llava_root": settings.llava_root,
        "precision": settings.precision,
        "eval_batch_size": settings.eval_batch_size,
    }


def view_settings(settings: Settings, seed: int, strength: float) -> dict[str, Any]:
    """What `conversation.augmented.more_views` takes: views beyond the first, which is the case itself.

    `strength` is that of the augmentation in training, as the adapter's facts say: on few passes it is less than the
    setting.
    """
    assert settings.views is not None and settings.context_length is not None  # the base's YAML has them
    return {
        "n": settings.views - 1,
        "context_length": settings.context_length,
        "strength": strength,
        "seed": seed,
    }


def training_settings(settings: Settings) -> dict[str, Any]:
    """`data_settings` and what else determines the adapter, as JSON values."""
    values = settings.model_dump(mode="json")
    return {name: value for name, value in values.items() if name not in SEEDLESS}


def _group(field: Any) -> str:
    return field.json_schema_extra["group"]


def peak_gpu_memory_mb() -> float | None:
    """Most memory of its GPU that this process has held, in MB of 10^6 bytes; None where it has used none."""
    torch = sys.modules.get("torch")  # which takes seconds to import, and is there in whoever computes on a GPU
    if torch is None or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_reserved() / 1e6)


def peak_memory_mb() -> float:
    """Most memory this process has held, plus that of its largest finished child, in MB of 10^6 bytes.

    The system keeps only the largest child, so with several workers at once this is less than their sum.
    """
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage) * unit / 1e6
