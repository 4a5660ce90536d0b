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
    "masked-transformer": ("vlm_tsc.classify.masked_transformer.classifier", "MaskedTransformerClassifier"),
}
IN_A_RUN = ("adapter", "model")  # where a run keeps its model


@dataclass(frozen=True)
class Saved:
    """A model's folder.

    Attributes
    ----------
    kind : str
        Which of `CLASSES`.
    model : Path
        The folder of the model itself.
    run : Path or None
        The run that it belongs to; None where it stands alone.
    settings : dict
        The run's own, as its config.yaml has them; empty without a run.
    """

    kind: str
    model: Path
    run: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def find_saved(folder: Path | str) -> Saved:
    """What a run's folder, an adapter folder or a model folder holds.

    Raises
    ------
    InputError
        When it holds none, one of a kind that this version does not know, or files that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder", where=folder)
    for model in (folder, *(folder / name for name in IN_A_RUN)):
        if (kind := _kind(model)) is not None:
            in_run = model.name in IN_A_RUN and (model.parent / "config.yaml").is_file()
            run = model.parent if in_run else None
            return Saved(kind, model, run, {} if run is None else _settings(run / "config.yaml"))
    allowed = "a finished run of a LLaVA or of a trained baseline, or the adapter/ or model/ in it"
    fix = "run train.py (again) to finish it" if (folder / "config.yaml").is_file() else None
    raise InputError("this folder holds no saved classifier", where=folder, allowed=allowed, fix=fix)


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
    module, name = CLASSES[saved.kind]
    opens = getattr(importlib.import_module(module), name)
    if saved.kind == "llava":
        return opens.load(saved.model, settings)
    if settings:
        raise InputError("Only a vision-language model takes these settings.", where=folder, got=list(settings))
    return opens.load(saved.model)


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


def _kind(model: Path) -> str | None:
    """Key of `CLASSES` of the classifier whose facts are in a folder; None where there are no facts."""
    if (model / "presentation.json").is_file():
        return "llava"
    path = model / "model.json"
    if not path.is_file():
        return None
    try:
        kind = json.loads(path.read_bytes())["classifier"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("the facts of this model cannot be read", where=path, got=error) from error
    if kind not in CLASSES:
        raise InputError("this version opens no such classifier", where=path, got=kind, allowed=CLASSES)
    return kind


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise InputError("The run's settings cannot be read.", where=path, got=str(error).split("\n")[0]) from None
    return content if isinstance(content, dict) else {}


def n_channels_of(classifier: Any) -> int | None:
    """Channels of the cases that a loaded classifier takes; None where its facts do not say."""
    trained = _trained(classifier)
    return getattr(classifier, "facts_", {}).get("n_channels") if trained is None else trained.n_channels


def n_timepoints_of(classifier: Any) -> int | None:
    """Of the longest training case; None where the classifier's facts do not say."""
    trained = _trained(classifier)
    return getattr(classifier, "facts_", {}).get("lengths", [None])[-1] if trained is None else trained.n_timepoints


def _trained(classifier: Any) -> Any:
    """The network of a trained baseline, which knows its training cases; None for a LLaVA, whose adapter's facts do."""
    model = getattr(classifier, "model_", None)
    return model if hasattr(model, "n_timepoints") else None
