"""LlavaClassifier: the whole main job behind aeon's fit, predict and predict_proba."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.splits import Splits, official
from vlm_tsc.bases import load_base
from vlm_tsc.classify.llava_settings import refuse_unused
from vlm_tsc.classify.saved import find_saved
from vlm_tsc.classify.series_classifier import SeriesClassifier, as_floats, training_set
from vlm_tsc.config import settings_from
from vlm_tsc.conversation.cards import DatasetCard
from vlm_tsc.run import presentation_settings, view_settings
from vlm_tsc.settings import USUAL_BASE
from vlm_tsc.startup import collection_paused

# What of a run's settings decides how its model answers.
RUN_SETTINGS = ("views", "context_length", "seed", "precision", "eval_batch_size", "llava_root")


class LlavaClassifier(SeriesClassifier):
    """A LoRA-fine-tuned LLaVA that sees each series as a plot and answers with its class.

    Parameters
    ----------
    base : str
        Name of a base in `configs/bases/`, a repository id, or a checkpoint folder.
    data_repr : str, optional
        What the model is given: picture and values ("BASELINE"), these and statistics ("WITH_STATS") or a signal
        analysis ("WITH_SIGNAL_ANALYSIS"), or one of both alone ("IMAGE_ONLY", "TEXT_ONLY"); in "WITH_RATIONALE" its
        answer explains before it names the class. Default: the base's.
    task : str, optional
        One sentence about the series, for the question.
    num_epochs : float, optional
        Passes over the training cases; default: the base's schedule.
    learning_rate : float, optional
        Peak learning rate; default: the base's.
    batch_size : int, optional
        Cases per step; default: the base's.
    random_state : int
        Seed of everything random.
    settings : mapping, optional
        Any other setting of picture, text, model, training or answers in `vlm_tsc.config.Settings`, by name; `fit`
        refuses what only a run uses, such as `report_to`.

    Attributes
    ----------
    presentation_ : vlm_tsc.conversation.presentation.Presentation
        How cases are shown, chosen from the training cases.
    model_, processor_
        The fine-tuned model and its processor.
    facts_ : dict
        Of a loaded classifier: what its adapter says of its training.

    Notes
    -----
    Where there are at least 400 cases and 5 of every class, a fifth is held out to choose the checkpoint, at most 400.
    """

    facts_: dict[str, Any]  # only of a loaded one

    _tags = {  # noqa: RUF012  # aeon reads a plain class attribute
        "algorithm_type": "deeplearning",
        # aeon imports them; peft takes seconds, and only fit needs it
        "python_dependencies": ["torch", "transformers"],
    }

    def __init__(
        self,
        base: str = USUAL_BASE,
        data_repr: str | None = None,
        task: str | None = None,
        num_epochs: float | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        random_state: int = 0,
        settings: Mapping[str, Any] | None = None,
    ):
        self.base = base
        self.data_repr = data_repr
        self.task = task
        self.num_epochs = num_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state
        self.settings = settings
        super().__init__()

    def _fit(self, X: Any, y: np.ndarray) -> LlavaClassifier:
        from vlm_tsc.conversation.prepare import choose_presentation
        from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
        from vlm_tsc.finetune.session import finetune_with

        refuse_unused(self.settings or {}, "settings")
        settings = self._resolved()
        base = load_base(self.base, settings.llava_root)
        base_folder = checkpoint_folder(base, settings.llava_root)
        splits = self._splits(X, y)
        card = DatasetCard(self.task) if self.task else DatasetCard()
        processor = load_processor(base_folder)
        options = presentation_settings(settings)
        self.presentation_ = choose_presentation(splits, processor, base, card, **options).presentation
        with tempfile.TemporaryDirectory() as folder:
            adapter = Path(folder) / "adapter"
            finetune_with(settings, base, base_folder, splits, self.presentation_, adapter, seed=settings.seed)
            self._adapter_files = _read_files(adapter)
        self._open_adapter()
        return self

    def _splits(self, X: Any, y: np.ndarray) -> Splits:
        """All cases as train, or a fifth of them as validation by the rule of the official split; nothing to test."""
        cases = training_set(X, y, self.classes_)
        parts = official(cases.y, cases.n_cases, self.random_state)
        validation = None if parts.validation is None else cases.select(parts.validation)
        return Splits(cases.select(parts.train), validation, cases.select(parts.test), "own")

    def _predict_proba(self, X: Any) -> np.ndarray:
        from vlm_tsc.answer.ask import ask_views
        from vlm_tsc.answer.model import choose_precision
        from vlm_tsc.conversation.augmented import more_views

        settings = self._resolved()
        cases = as_floats(X)
        ids = [f"{zlib.crc32(case.tobytes()):08x}" for case in cases]  # a case is viewed alike in any company
        views = view_settings(settings, settings.seed, self._strength)
        more = more_views(cases, ids, self.presentation_, self.processor_, **views)
        return ask_views(
            self.model_,
            self.processor_,
            [[self.presentation_.show(case) for case in cases], *more],
            self.presentation_.builder.answer_map.answers,
            batch_size=settings.eval_batch_size or 8,
            precision=choose_precision(settings.precision),
        ).probabilities

    def save(self, folder: Path | str) -> None:
        """Write the adapter folder: adapter, projector, how cases are shown, and the base's name and hash."""
        self._check_is_fitted()
        _write_files(Path(folder), self._adapter_files)

    @classmethod
    @collection_paused()
    def load(cls, folder: Path | str, settings: Mapping[str, Any] | None = None) -> LlavaClassifier:
        """A fitted classifier from a run's folder, its adapter folder, or one that `save` wrote.

        `settings` are those of this machine: `llava_root`, `precision`, `eval_batch_size`, `views`. What is not given
        is as the run's own settings say, so that a new series is answered as the test part was.

        Raises
        ------
        InputError
            When the folder is no finished adapter, or its base is not here.
        """
        from vlm_tsc.finetune.adapter import read_adapter_facts

        saved = find_saved(folder)
        folder = saved.model
        presentation, facts = read_adapter_facts(folder)
        own = {name: saved.settings[name] for name in RUN_SETTINGS if saved.settings.get(name) is not None}
        if not Path(own.get("llava_root", "/")).is_dir():  # the run was made on another machine
            del own["llava_root"]
        made = cls(base=facts["name"], settings={**own, **(settings or {})})
        made.facts_ = facts
        made._adapter_files = _read_files(folder)
        made._open_adapter()
        made._fitted_to(presentation.builder.answer_map.class_names)
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Pickled in memory as the adapter's own files (safetensors and JSON), not as a live network."""
        return {key: value for key, value in self.__dict__.items() if key != "_opened"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        if getattr(self, "_adapter_files", None):
            self._open_adapter()

    def _open_adapter(self) -> None:
        from vlm_tsc.answer.model import be_quiet, choose_precision, device

        be_quiet()
        from vlm_tsc.conversation.processor import checkpoint_folder
        from vlm_tsc.finetune.adapter import load_finished, read_adapter_facts

        settings = self._resolved()
        base_folder = checkpoint_folder(load_base(self.base, settings.llava_root), settings.llava_root)
        with tempfile.TemporaryDirectory() as folder:
            _write_files(Path(folder), self._adapter_files)
            self.presentation_, facts = read_adapter_facts(Path(folder))
            self._strength = facts["augment"]
            model, processor, _ = load_finished(Path(folder), base_folder, choose_precision(settings.precision))
        self._opened = _Opened(model.to(device()), processor)

    @property
    def model_(self) -> Any:
        return self._opened.model

    @property
    def processor_(self) -> Any:
        return self._opened.processor

    def _resolved(self) -> Any:
        own = {"base": self.base, "seed": self.random_state}
        optional = {name: getattr(self, name) for name in ("data_repr", "num_epochs", "learning_rate", "batch_size")}
        given = {name: value for name, value in optional.items() if value is not None}
        return settings_from({**own, **given, **(self.settings or {})})

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        """Two steps of training, for aeon's estimator checks."""
        return {"num_epochs": 0.2, "batch_size": 4, "settings": {"precision": "fp32"}}


class _Opened:
    """Model and processor, which keep notes of their own while they answer: no part of what makes two fits equal."""

    def __init__(self, model: Any, processor: Any):
        self.model, self.processor = model, processor

    def __getstate__(self) -> None:
        return None


def _read_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    for name, data in files.items():
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)
