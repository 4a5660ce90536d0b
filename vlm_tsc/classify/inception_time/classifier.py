"""InceptionTimeClassifier: the ensemble behind aeon's fit, predict and predict_proba."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlm_tsc.classify.inception_time.ensemble import Ensemble, train_ensemble
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.network_classifier import NetworkClassifier
from vlm_tsc.classify.series_classifier import as_floats


class InceptionTimeClassifier(NetworkClassifier):
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
    model_, ensemble_ : vlm_tsc.classify.inception_time.ensemble.Ensemble

    Notes
    -----
    Input is scaled inside: each channel by mean and deviation of the training values, unless every training case is
    z-normalised. Series of unequal length are padded, and the padding is masked wherever it could count.

    References
    ----------
    Ismail Fawaz et al.: InceptionTime, Data Mining and Knowledge Discovery 34 (2020), doi 10.1007/s10618-020-00710-y.
    """

    _hyperparameters_class = Hyperparameters
    _network_class = Ensemble

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

    @property
    def ensemble_(self) -> Ensemble:
        return self.model_

    def _fit(self, X: Any, y: np.ndarray) -> InceptionTimeClassifier:
        self.model_ = train_ensemble(
            as_floats(X),
            self._codes(y),
            self.classes_.tolist(),
            self._hyperparameters(),
            random_state=self.random_state,
            folder=self._folder(),
            start=self._start(),
        )
        return self

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        """A small and short training, for aeon's estimator checks."""
        return {"filters": 2, "depth": 3, "models": 2, "epochs": 2, "batch_size": 8}
