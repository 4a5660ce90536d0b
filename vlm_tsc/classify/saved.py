"""Any saved classifier of the project, opened by what its folder says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_tsc.errors import InputError
from vlm_tsc.run import RunFolder

LLAVA_FACTS, MODEL_FACTS = "presentation.json", "model.json"
OF_THE_RUN = ("precision", "eval_batch_size", "views", "context_length", "seed")  # what changes a LLaVA's answers


@dataclass(frozen=True)
class Saved:
    """A saved classifier that was found, not yet opened.

    Attributes
    ----------
    kind : str
        A key of `OPENERS`.
    model : Path
        Folder of the model itself.
    run : Path or None
        The run's folder, where that is what was named.
    """

    kind: str
    model: Path
    run: Path | None = None


def find_saved(folder: Path | str) -> Saved:
    """Which classifier a folder holds, from its facts alone: nothing heavy is imported.

    Parameters
    ----------
    folder : path
        A run's folder, or the model in it: `adapter/` of a LLaVA, `model/` of a trained baseline, or any folder that
        a classifier's `save` wrote.

    Raises
    ------
    InputError
        When the folder holds none, or one of a kind that this version does not know.
    """
    folder = Path(folder)
    for model, run in ((folder, None), (RunFolder(folder).adapter, folder), (folder / "model", folder)):
        if (model / LLAVA_FACTS).is_file():
            return Saved("llava", model, run)
        if (model / MODEL_FACTS).is_file():
            return Saved(_kind(model / MODEL_FACTS), model, run)
    if not folder.is_dir():
        raise InputError("there is no such folder", where=folder)
    allowed = "a finished run of a LLaVA or a trained baseline, or the adapter/ or model/ in it"
    fix = "the classical baselines keep no model; a run that was interrupted goes on with the same command"
    raise InputError("this folder holds no saved classifier", where=folder, allowed=allowed, fix=fix)


def load_classifier(folder: Path | str) -> Any:
    """A fitted classifier (aeon's `BaseClassifier`) from the folder of a run or of a model, see `find_saved`.

    A LLaVA answers with the views and the precision of its run where the run's folder is named, else with its base's.

    Raises
    ------
    InputError
        When the folder holds no finished classifier, or what it needs is not here.
    """
    saved = find_saved(folder)
    return OPENERS[saved.kind](saved)


def n_channels_of(classifier: Any) -> int | None:
    """Channels of the cases that a loaded classifier takes; None where its facts do not say."""
    trained, presentation = _trained(classifier), getattr(classifier, "presentation_", None)
    if trained is not None:
        return trained.n_channels
    return len(presentation.limits) if presentation is not None and presentation.limits else None


def n_timepoints_of(classifier: Any) -> int | None:
    """Of the longest training case; None where the classifier's facts do not say."""
    trained = _trained(classifier)
    return None if trained is None else trained.n_timepoints


def _trained(classifier: Any) -> Any:
    """The network of a trained baseline, which knows its training cases; None for a LLaVA, whose model does not."""
    found = (getattr(classifier, name, None) for name in ("ensemble_", "model_"))
    return next((one for one in found if hasattr(one, "n_timepoints")), None)


def _kind(path: Path) -> str:
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["classifier"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("the facts of this model cannot be read", where=path, got=error) from error
    if kind not in OPENERS:
        raise InputError("this version opens no such classifier", where=path, got=kind, allowed=OPENERS)
    return kind


def _llava(saved: Saved) -> Any:
    from vlm_tsc.answer.model import be_quiet, device

    be_quiet()  # before peft is imported
    from vlm_tsc.classify.llava import LlavaClassifier

    classifier = LlavaClassifier.load(saved.model, _of_the_run(saved.run))
    classifier.model_ = classifier.model_.to(device())
    return classifier


def _of_the_run(run: Path | None) -> dict[str, Any]:
    """The run's own settings that a LLaVA's answers depend on, and where its base was found."""
    if run is None or not RunFolder(run).config.is_file():
        return {}
    from vlm_tsc.config import load_settings

    settings = load_settings(RunFolder(run).config)
    found: dict[str, Any] = {name: getattr(settings, name) for name in OF_THE_RUN}
    if settings.llava_root is not None and settings.llava_root.is_dir():  # else the run was made on another machine
        found["llava_root"] = settings.llava_root
    return found


def _inception_time(saved: Saved) -> Any:
    from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier

    return InceptionTimeClassifier.load(saved.model)


def _masked_transformer(saved: Saved) -> Any:
    from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier

    return MaskedTransformerClassifier.load(saved.model)


OPENERS: dict[str, Callable[[Saved], Any]] = {
    "llava": _llava,
    "inception-time": _inception_time,
    "masked-transformer": _masked_transformer,
}
