"""MaskedTransformerClassifier: the masked transformer behind aeon's fit, predict and predict_proba."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlm_tsc.archive.splits import official
from vlm_tsc.classify.masked_transformer.encoder_folder import find_encoder
from vlm_tsc.classify.masked_transformer.hyperparameters import Hyperparameters
from vlm_tsc.classify.masked_transformer.model import Model, train_model
from vlm_tsc.classify.network_classifier import NetworkClassifier
from vlm_tsc.classify.series_classifier import as_floats


class MaskedTransformerClassifier(NetworkClassifier):
    """A BERT over patches of the series, from a pre-trained encoder or from fresh weights.

    Parameters
    ----------
    encoder : str
        Folder of a pre-trained encoder; "default" for the one in the package, "fresh" for fresh weights.
    linear : bool
        Train the last layer alone, on the encoder as it is.
    width, layers, length, patch : int, optional
        Sizes of fresh weights (default 128, 4, 512, 16). An encoder has its own, and others are refused.
    lr : float, optional
        Peak learning rate; default 0.0005, with `linear` 0.005.
    batch_size : int
        Cases a step.
    epochs : int, optional
        Passes over the training cases; default 100, but at least 600 steps and at most about 6,000.
    random_state : int
        Seed of everything random, the validation cases too.
    model_dir : str, optional
        Folder for the log, for a checkpoint from which an interrupted `fit` goes on, and for the finished model.
    start_from : str, optional
        Model folder whose encoder to begin with; its last layer too where the classes are the same.

    Attributes
    ----------
    model_ : vlm_tsc.classify.masked_transformer.model.Model

    Notes
    -----
    From 400 cases and 5 a class on, `fit` holds 20 % out, at most 400, and ends with the epoch that answers most of
    them rightly; below, with the last. Input is scaled inside, by the training values. Lengths: see the package's own
    notes.

    References
    ----------
    See `vlm_tsc.classify.masked_transformer`.
    """

    _tags = {"python_dependencies": ["torch", "transformers"]}  # noqa: RUF012
    _hyperparameters_class = Hyperparameters
    _network_class = Model

    def __init__(
        self,
        encoder: str = "default",
        linear: bool = False,
        width: int | None = None,
        layers: int | None = None,
        length: int | None = None,
        patch: int | None = None,
        lr: float | None = None,
        batch_size: int = 16,
        epochs: int | None = None,
        random_state: int = 0,
        model_dir: str | None = None,
        start_from: str | None = None,
    ):
        self.encoder = encoder
        self.linear = linear
        self.width = width
        self.layers = layers
        self.length = length
        self.patch = patch
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state
        self.model_dir = model_dir
        self.start_from = start_from
        super().__init__()

    def _fit(self, X: Any, y: np.ndarray) -> MaskedTransformerClassifier:
        cases, codes = as_floats(X), self._codes(y)
        indices = official(codes, len(codes), self.random_state)
        validation = None
        if indices.validation is not None:
            validation = [cases[i] for i in indices.validation], codes[indices.validation]
        start = self._start()
        self.model_ = train_model(
            [cases[i] for i in indices.train],
            codes[indices.train],
            np.asarray(self.classes_).tolist(),
            self._hyperparameters(),
            random_state=self.random_state,
            encoder=None if start else find_encoder(self.encoder),
            validation=validation,
            folder=self._folder(),
            start=start,
        )
        return self

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        """A small and short training, for aeon's estimator checks."""
        sizes = {"width": 8, "layers": 1, "length": 16, "patch": 4}
        return {"encoder": "fresh", **sizes, "epochs": 2, "batch_size": 8}
