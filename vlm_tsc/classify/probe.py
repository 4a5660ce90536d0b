"""ProbeClassifier: a linear classifier on what a frozen base makes of the picture, before or after its decoder.

Two cheap bars for the fine-tuned model: if it is no better than its own frozen vision tower under a linear classifier,
then its language part earns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from vlm_tsc.archive.splits import Splits
from vlm_tsc.bases import load_base
from vlm_tsc.classify.series_classifier import SeriesClassifier, as_floats, training_set
from vlm_tsc.config import settings_from
from vlm_tsc.conversation.cards import DatasetCard
from vlm_tsc.run import presentation_settings
from vlm_tsc.settings import USUAL_BASE

Part = Literal["vision", "decoder"]
PARTS: tuple[Part, ...] = ("vision", "decoder")


class ProbeClassifier(SeriesClassifier):
    """Ridge classifier on features of a base that is not trained.

    Parameters
    ----------
    base : str
        Name of a base in `configs/bases/`, a repository id, or a checkpoint folder.
    part : {"vision", "decoder"}
        "vision": what the vision tower makes of the picture, as the projector reads it: the mean of its tokens and,
        where they form a square, the means of each column (a stretch of time) and of each row (a range of values,
        whenever they come). "decoder": the last hidden state at the
        position where the answer would begin.
    settings : mapping, optional
        Any setting of `vlm_tsc.config.Settings` that says how cases are shown, by name.

    Raises
    ------
    InputError
        From `fit`, when the part is "vision" and no projector is found in the base.

    Attributes
    ----------
    presentation_ : vlm_tsc.conversation.presentation.Presentation
        How cases are shown, chosen from the training cases.
    ridge_
        The fitted scaler and ridge classifier of scikit-learn.
    """

    _tags = {  # noqa: RUF012  # aeon reads a plain class attribute
        "algorithm_type": "feature",
        "python_dependencies": ["torch", "transformers"],
    }

    def __init__(self, base: str = USUAL_BASE, part: Part = "vision", settings: Mapping[str, Any] | None = None):
        self.base = base
        self.part: Part = part
        self.settings = settings
        super().__init__()

    def _fit(self, X: Any, y: np.ndarray) -> ProbeClassifier:
        from vlm_tsc.answer.linear import ridge_classifier
        from vlm_tsc.conversation.prepare import choose_presentation

        _, processor, settings = self._opened_base()
        train = training_set(X, y, self.classes_)
        splits = Splits(train, None, train.select(np.array([], dtype=int)), "own")
        base = load_base(self.base, settings.llava_root)
        options = presentation_settings(settings)
        self.presentation_ = choose_presentation(splits, processor, base, DatasetCard(), **options).presentation
        self.ridge_ = ridge_classifier().fit(self._features(X), y)
        return self

    def _predict(self, X: Any) -> np.ndarray:
        return self.ridge_.predict(self._features(X))

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without the base, which is opened again when it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_base"}

    def _opened_base(self) -> tuple[Any, Any, Any]:
        """Model, processor and settings, opened once."""
        if not hasattr(self, "_base"):
            self._base = self._open()
        return self._base

    def _open(self) -> tuple[Any, Any, Any]:
        from vlm_tsc.answer.model import choose_precision, device, load_model
        from vlm_tsc.conversation.processor import checkpoint_folder

        settings = settings_from({"base": self.base, **(self.settings or {})})
        folder = checkpoint_folder(load_base(self.base, settings.llava_root), settings.llava_root)
        model, processor = load_model(folder, choose_precision(settings.precision))
        return model.to(device()), processor, settings

    def _features(self, X: Any) -> np.ndarray:
        from vlm_tsc.answer.features import features

        model, processor, settings = self._opened_base()
        shown = [self.presentation_.show(case) for case in as_floats(X)]
        how: dict[str, Any] = {"batch_size": settings.eval_batch_size or 8}
        if self.part == "vision":
            from vlm_tsc.finetune.parts import projector_names

            how["projector"] = projector_names(model, load_base(self.base, settings.llava_root).lora_targets)
        return features(model, processor, shown, self.part, **how)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        return {"settings": {"precision": "fp32"}}
