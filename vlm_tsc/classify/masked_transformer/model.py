"""A trained masked transformer with all it needs to answer, and how it is trained."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.encoder_folder import Pretrained
from vlm_tsc.classify.masked_transformer.hyperparameters import Hyperparameters
from vlm_tsc.classify.masked_transformer.network import MaskedTransformer
from vlm_tsc.classify.masked_transformer.patches import Grid, PatchedCases
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.masked_transformer.training import EVAL_BATCH, Training, train
from vlm_tsc.classify.model_folder import device
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.classify.seen import seen_by
from vlm_tsc.classify.trained_network import Labelled, TrainedNetwork, fingerprint_of, rows_of_head
from vlm_tsc.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model(TrainedNetwork):
    """A masked transformer with all it needs to answer; see `TrainedNetwork`.

    Attributes
    ----------
    origin : str
        Label of the encoder it began with, "fresh" for none.
    epoch : int
        Whose weights these are.
    """

    KIND = "masked-transformer"
    FORMAT = 1
    TITLE = "the masked transformer"
    HOW = "python eval/baselines.py masked-transformer … makes one"

    network: MaskedTransformer
    hyperparameters: Hyperparameters
    origin: str
    epoch: int

    def probabilities(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """See `TrainedNetwork`."""
        return self.network.probabilities(self._patched(X), EVAL_BATCH).cpu().numpy()

    def embed(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """What the encoder makes of cases: (n_cases, n_features) float32, as the head receives them."""
        features = self.network.features(self._patched(X), EVAL_BATCH)
        return ((features - self.network.centre) / self.network.spread).cpu().numpy()

    def _patched(self, X: Sequence[np.ndarray]) -> PatchedCases:
        shape = self.network.encoder.shape
        grid = Grid(self.n_timepoints, shape.length, shape.patch)
        return PatchedCases.of(X, self.scaling, grid, self.network.centre.device)

    def own_facts(self) -> dict[str, Any]:
        """See `TrainedNetwork`."""
        return {"shape": self.network.encoder.shape.model_dump(), "encoder": self.origin, "epoch": self.epoch}

    @classmethod
    def own_fields(cls, facts: Mapping[str, Any]) -> dict[str, Any]:
        """See `TrainedNetwork`."""
        encoder = PatchEncoder(Shape(**facts["shape"]))
        network = MaskedTransformer(encoder, facts["n_channels"], len(facts["classes"]))
        hyperparameters = Hyperparameters(**facts["hyperparameters"])
        origin = {"origin": facts["encoder"], "epoch": facts["epoch"]}
        return {"network": network, "hyperparameters": hyperparameters, **origin}


def train_model(
    X: Sequence[np.ndarray],
    codes: np.ndarray,
    classes: list[Any],
    hyperparameters: Hyperparameters,
    *,
    random_state: int = 0,
    encoder: Pretrained | None = None,
    validation: Labelled | None = None,
    folder: Path | None = None,
    start: Model | None = None,
) -> Model:
    """Train a model.

    Parameters
    ----------
    X : sequence of ndarray (n_channels, n_timepoints)
    codes : ndarray (n_cases,) of int
        Position of each case's class in `classes`.
    encoder : Pretrained, optional
        To begin with; without it (and without `start`) from fresh weights.
    validation : (X, codes), optional
        Cases of the training part that choose the epoch. Without them the last one counts.
    folder : Path, optional
        For log and checkpoint, see `training.train`; the finished model is written there too.
    start : Model, optional
        Whose encoder to begin with; its head too where the channels and, in whatever order, the classes are the same.

    Raises
    ------
    InputError
        When encoder and series or sizes do not fit, or `folder` holds another model.
    """
    settings = {**hyperparameters.model_dump(), "random_state": random_state, "classes": classes}
    settings |= {"encoder": encoder and encoder.facts["sha256"], "validated": validation is not None}
    fingerprint = fingerprint_of(settings, (X, codes), validation, start)
    if (found := Model.finished(folder, fingerprint)) is not None:
        return found
    first = start.network.encoder if start else encoder.encoder() if encoder else None
    made = _encoder(first, len(X[0]), hyperparameters, random_state)
    network = MaskedTransformer(made, len(X[0]), len(classes), random_state).to(device())
    scaling, longest = Scaling.of(X), max(case.shape[1] for case in X)
    grid = Grid(longest, made.shape.length, made.shape.patch)
    cases = PatchedCases.of(X, scaling, grid, device(), np.asarray(codes))
    whole = None if start is None else _whole(start, classes, len(X[0]))
    if whole is not None:
        network.load_state_dict(whole)
    else:
        network.learn_scale(network.features(cases, EVAL_BATCH))
    held_out = None if validation is None else PatchedCases.of(validation[0], scaling, grid, device(), validation[1])
    training = Training(
        network,
        cases,
        lr=hyperparameters.rate(),
        batch_size=hyperparameters.batch_size,
        epochs=hyperparameters.n_epochs(len(X)),
        linear=hyperparameters.linear,
        random_state=random_state,
        validation=held_out,
    )
    seconds, epoch = train(training, folder=folder, fingerprint=fingerprint)
    origin = start.origin if start else encoder.label if encoder else "fresh"
    seen = seen_by(X, [one.seen for one in (start, encoder) if one is not None])
    model = Model(network, scaling, hyperparameters, classes, longest, fingerprint, seconds, origin, epoch, seen=seen)
    if folder is not None:
        model.finish(folder)
    return model


def _whole(start: Model, classes: list[Any], n_channels: int) -> dict[str, torch.Tensor] | None:
    """Weights of a model to go on from, its head's rows in the order of `classes`; None where its head is of no use."""
    if start.n_channels != n_channels:
        log.warning(
            "the last layer begins anew: %d channels, the model to go on from has %d", n_channels, start.n_channels
        )
        return None
    rows = rows_of_head(start, classes)
    if rows is None:
        return None
    weights = dict(start.network.state_dict())
    return weights | {name: weights[name][rows] for name in ("head.weight", "head.bias")}


def _encoder(
    first: PatchEncoder | None, n_channels: int, hyperparameters: Hyperparameters, random_state: int
) -> PatchEncoder:
    """A new encoder: a copy of `first`, or a fresh one of the sizes that were given."""
    if first is None:
        try:
            shape = Shape(n_channels=n_channels, **hyperparameters.sizes())
        except ValidationError as error:
            got = str(error.errors()[0].get("ctx", {}).get("error", error))
            raise InputError("these sizes do not go together", where="length, patch, width", got=got) from None
        return PatchEncoder(shape, random_state)
    for name, got in hyperparameters.sizes().items():
        if got != getattr(first.shape, name):
            what, allowed = "the encoder is of another size", getattr(first.shape, name)
            raise InputError(what, where=name, got=got, allowed=allowed, fix=f"leave {name} out, or --encoder fresh")
    if first.shape.n_channels not in (1, n_channels):
        what = "the encoder takes another number of channels"
        raise InputError(what, where="the training cases", got=n_channels, allowed=first.shape.n_channels)
    made = PatchEncoder(first.shape)
    made.load_state_dict(first.state_dict())  # a copy: what is trained here must not be found elsewhere
    return made
