"""InceptionTimeClassifier: the ensemble behind aeon's fit, predict and predict_proba."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aeon.classification.base import BaseClassifier
from pydantic import ValidationError

from vlm_tsc.classify.inception_time.ensemble import Ensemble, train_ensemble
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.model_folder import write_folder
from vlm_tsc.errors import InputError


class InceptionTimeClassifier(BaseClassifier):
    """An ensemble of Inception networks, all trained together; their probabilities are averaged.

    Parameters
    ----------
    filters : int
        Filters of each convolution.
    depth : int
        Blocks of each network.
    models : int
        Networks of the ensemble.
    lr : float
        Learning rate, halved down to 1e-4 when the training loss stands still for 50 epochs.
    batch_size : int
        Cases a step.
    epochs : int
        Passes over the training cases.
    random_state : int
        Seed of everything random.
    model_dir : str, optional
        Folder for the log, for a checkpoint from which an interrupted `fit` goes on, and for the finished model.
    start_from : str, optional
        Model folder whose weights to go on from; a new last layer where the classes differ.

    Attributes
    ----------
    ensemble_ : vlm_tsc.classify.inception_time.ensemble.Ensemble

    Notes
    -----
    Input is scaled inside: each channel by mean and deviation of the training values, unless every training case is
    z-normalised. Series of unequal length are padded, and the padding is masked wherever it could count.

    References
    ----------
    Ismail Fawaz et al.: InceptionTime, Data Mining and Knowledge Discovery 34 (2020), doi 10.1007/s10618-020-00710-y.
    """

    _tags = {  # noqa: RUF012  # aeon reads a plain class attribute
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "X_inner_type": ["np-list", "numpy3D"],
        "algorithm_type": "deeplearning",
        "non_deterministic": True,  # sums depend on the number of threads
        "cant_pickle": False,
        "python_dependencies": ["torch"],
    }

    def __init__(
        self,
        filters: int = 32,
        depth: int = 6,
        models: int = 5,
        lr: float = 0.001,
        batch_size: int = 64,
        epochs: int = 1500,
        random_state: int = 0,
        model_dir: str | None = None,
        start_from: str | None = None,
    ):
        self.filters = filters
        self.depth = depth
        self.models = models
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state
        self.model_dir = model_dir
        self.start_from = start_from
        super().__init__()

    def _fit(self, X: Any, y: np.ndarray) -> InceptionTimeClassifier:
        codes = np.array([self._class_dictionary[label] for label in y])
        start = None if self.start_from is None else Ensemble.read(Path(self.start_from))
        self.ensemble_ = train_ensemble(
            _as_floats(X),
            codes,
            self.classes_.tolist(),
            self._hyperparameters(),
            random_state=self.random_state,
            folder=None if self.model_dir is None else Path(self.model_dir),
            start=start,
        )
        return self

    def _hyperparameters(self) -> Hyperparameters:
        try:
            return Hyperparameters(**{name: getattr(self, name) for name in Hyperparameters.model_fields})
        except ValidationError as error:
            first = error.errors()[0]
            where = str(first["loc"][0])
            raise InputError("this hyperparameter cannot be used", where=where, got=first["input"]) from None

    def _predict_proba(self, X: Any) -> np.ndarray:
        cases = _as_floats(X)
        if len(cases[0]) != self.ensemble_.n_channels:
            got, allowed = len(cases[0]), self.ensemble_.n_channels
            raise InputError("the model takes another number of channels", where="X", got=got, allowed=allowed)
        return self.ensemble_.probabilities(cases)

    def _predict(self, X: Any) -> np.ndarray:
        return self.classes_[self._predict_proba(X).argmax(axis=1)]

    def save(self, folder: Path | str) -> None:
        """Write the model folder: weights, and what they are for."""
        self._check_is_fitted()
        write_folder(Path(folder), self.ensemble_.files())

    @classmethod
    def load(cls, folder: Path | str) -> InceptionTimeClassifier:
        """A fitted classifier from a folder that `save`, or a training run, wrote.

        Raises
        ------
        InputError
            When the folder holds no finished model.
        """
        ensemble = Ensemble.read(Path(folder))
        made = cls(**ensemble.hyperparameters.model_dump())
        made.classes_ = np.array(ensemble.classes)
        made.n_classes_ = len(made.classes_)
        made._class_dictionary = {label: i for i, label in enumerate(made.classes_)}
        made.ensemble_ = ensemble
        made.is_fitted = True
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Pickled in memory as the model folder's files (safetensors and JSON), not as a live network."""
        state = dict(self.__dict__)
        if "ensemble_" in state:
            state["ensemble_"] = state["ensemble_"].files()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "ensemble_" in state:
            self.ensemble_ = Ensemble.from_files(state["ensemble_"])

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        """A small and short training, for aeon's estimator checks."""
        return {"filters": 2, "depth": 3, "models": 2, "epochs": 2, "batch_size": 8}


def _as_floats(X: Any) -> list[np.ndarray]:
    return [np.asarray(case, dtype=np.float64) for case in X]
