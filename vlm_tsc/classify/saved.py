"""Fitted classifiers on disk: which one a folder holds, and that one, ready to answer."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vlm_tsc.errors import InputError

# Classifier → its module and class; imported when it is asked for, because torch takes seconds.
CLASSES = {
    "llava": ("vlm_tsc.classify.llava", "LlavaClassifier"),
    "inception-time": ("vlm_tsc.classify.inception_time.classifier", "InceptionTimeClassifier"),
}
IN_A_RUN = ("adapter", "model")  # where a run keeps its model


@dataclass(frozen=True)
class Saved:
    """A model's folder.

    Attributes
    ----------
    classifier : str
        Which of `CLASSES`.
    model : Path
        The folder of the model itself.
    run : Path or None
        The run that it belongs to; None where it stands alone.
    settings : dict
        The run's own, as its config.yaml has them; empty without a run.
    """

    classifier: str
    model: Path
    run: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def find_saved(folder: Path | str) -> Saved:
    """What a run's folder, an adapter folder or a model folder holds.

    Raises
    ------
    InputError
        When that is no finished classifier, or the run's config.yaml is broken.
    """
    folder = Path(folder)
    for model in (folder, *(folder / name for name in IN_A_RUN)):
        if (classifier := _classifier(model)) is not None:
            in_run = model.name in IN_A_RUN and (model.parent / "config.yaml").is_file()
            run = model.parent if in_run else None
            return Saved(classifier, model, run, {} if run is None else _settings(run / "config.yaml"))
    got = "no such folder" if not folder.is_dir() else "no adapter/ and no model/, finished, in it"
    allowed = "a run's folder, such as runs/ItalyPowerDemand/NAME, an adapter folder, or a model folder"
    fix = "run train.py (again) to finish it" if (folder / "config.yaml").is_file() else None
    raise InputError("This folder holds no finished classifier.", where=folder, got=got, allowed=allowed, fix=fix)


def load_classifier(folder: Path | str, settings: Mapping[str, Any] | None = None) -> Any:
    """The fitted classifier of a run's folder, an adapter folder or a model folder, with aeon's methods.

    Parameters
    ----------
    settings : mapping, optional
        Of this machine, for a vision-language model; see `LlavaClassifier.load`. Other classifiers take none.

    Raises
    ------
    InputError
        When the folder holds no finished classifier, or one that takes no settings is given some.
    """
    saved = find_saved(folder)
    module, name = CLASSES[saved.classifier]
    kind = getattr(importlib.import_module(module), name)
    if saved.classifier == "llava":
        return kind.load(saved.model, settings)
    if settings:
        raise InputError("Only a vision-language model takes these settings.", where=folder, got=list(settings))
    return kind.load(saved.model)


def run_digest(saved: Saved) -> str:
    """Hash of a model's files and of its run's settings: of all that determines its answers."""
    files = sorted(path for path in saved.model.rglob("*") if path.is_file())
    return digest_of([*files, saved.run / "config.yaml"] if saved.run else files)


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256, in hex, of the content of files in this order, each read piece by piece."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _classifier(model: Path) -> str | None:
    """Name of the classifier whose facts are in a folder; None where there are none."""
    if (model / "presentation.json").is_file():
        return "llava"
    try:
        named = json.loads((model / "model.json").read_bytes())["classifier"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return named if named in CLASSES else None


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise InputError("The run's settings cannot be read.", where=path, got=str(error).split("\n")[0]) from None
    return content if isinstance(content, dict) else {}
