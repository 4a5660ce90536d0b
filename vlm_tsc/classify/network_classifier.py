"""A network that is trained here behind aeon's fit, predict and predict_proba, and kept in a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import ValidationError

from vlm_tsc.classify.hyperparameters import NetworkHyperparameters
from vlm_tsc.classify.model_folder import write_folder
from vlm_tsc.classify.series_classifier import SeriesClassifier, as_floats
from vlm_tsc.classify.trained_network import TrainedNetwork
from vlm_tsc.errors import InputError


class NetworkClassifier(SeriesClassifier):
    """What classifiers around a `TrainedNetwork` share; a subclass has its hyperparameters as parameters, and `_fit`.

    Attributes
    ----------
    model_ : TrainedNetwork
    """

    _tags = {"algorithm_type": "deeplearning", "python_dependencies": ["torch"]}  # noqa: RUF012

    _hyperparameters_class: ClassVar[type[NetworkHyperparameters]]
    _network_class: ClassVar[type[TrainedNetwork]]

    model_dir: str | None
    start_from: str | None
    model_: Any

    def _hyperparameters(self) -> Any:
        try:
            return self._hyperparameters_class.of(self)
        except ValidationError as error:
            first = error.errors()[0]
            where = str(first["loc"][0])
            raise InputError("this hyperparameter cannot be used", where=where, got=first["input"]) from None

    def _codes(self, y: np.ndarray) -> np.ndarray:
        return np.array([self._class_dictionary[label] for label in y])

    def _folder(self) -> Path | None:
        return None if self.model_dir is None else Path(self.model_dir)

    def _start(self) -> Any:
        return None if self.start_from is None else self._network_class.read(Path(self.start_from))

    def _predict_proba(self, X: Any) -> np.ndarray:
        cases = as_floats(X)
        if len(cases[0]) != self.model_.n_channels:
            got, allowed = len(cases[0]), self.model_.n_channels
            raise InputError("the model takes another number of channels", where="X", got=got, allowed=allowed)
        return self.model_.probabilities(cases)

    def save(self, folder: Path | str) -> None:
        """Write the model folder: weights, and what they are for."""
        self._check_is_fitted()
        write_folder(Path(folder), self.model_.files())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """A fitted classifier from a folder that `save`, or a training run, wrote.

        Raises
        ------
        InputError
            When the folder holds no finished model.
        """
        model = cls._network_class.read(Path(folder))
        made = cls(**model.hyperparameters.model_dump())
        made.model_ = model
        made._fitted_to(model.classes)
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Pickled in memory as the model folder's files (safetensors and JSON), not as a live network."""
        state = dict(self.__dict__)
        if "model_" in state:
            state["model_"] = state["model_"].files()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        if "model_" in state:
            self.model_ = self._network_class.from_files(state["model_"])
