"""A trained masked transformer with all it needs to answer, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from vlm_tsc.classify.epochs import STATE_FILE
from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.encoder_folder import Pretrained, digest
from vlm_tsc.classify.masked_transformer.hyperparameters import Hyperparameters
from vlm_tsc.classify.masked_transformer.network import MaskedTransformer
from vlm_tsc.classify.masked_transformer.patches import Grid, PatchedCases
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.masked_transformer.training import EVAL_BATCH, Training, train
from vlm_tsc.classify.model_folder import FACTS, device, facts_of, packed, read_folder, tensors_of, write_folder
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.errors import InputError
from vlm_tsc.manifest import data_hash

KIND, FORMAT = "masked-transformer", 1
HOW = "python eval/baselines.py masked-transformer … makes one"

Labelled = tuple[Sequence[np.ndarray], np.ndarray]  # cases (n_channels, n_timepoints), and the code of each


@dataclass(frozen=True)
class Model:
    """Network, the scaling of its input, and what its outputs stand for.

    Attributes
    ----------
    network : MaskedTransformer
    scaling : Scaling
    grid : Grid
    hyperparameters : Hyperparameters
    classes : list
        Labels (text or numbers) in the order of the network's outputs.
    origin : str
        Label of the encoder it began with, "fresh" for none.
    fingerprint : str
        Hash of everything it was made of.
    train_seconds : float
    epoch : int
        Whose weights these are.
    """

    network: MaskedTransformer
    scaling: Scaling
    grid: Grid
    hyperparameters: Hyperparameters
    classes: list[Any]
    origin: str
    fingerprint: str
    train_seconds: float
    epoch: int

    @property
    def n_channels(self) -> int:
        return len(self.scaling.mean)

    @property
    def n_timepoints(self) -> int:
        """Of the longest training case."""
        return self.grid.longest

    def probabilities(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """Of cases (n_channels, n_timepoints) of any length: (n_cases, n_classes), float64, columns as `classes`."""
        return self.network.probabilities(self._patched(X), EVAL_BATCH).cpu().numpy()

    def embed(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """What the encoder makes of cases: (n_cases, n_features) float32, as the head receives them."""
        features = self.network.features(self._patched(X), EVAL_BATCH)
        return ((features - self.network.centre) / self.network.spread).cpu().numpy()

    def _patched(self, X: Sequence[np.ndarray]) -> PatchedCases:
        return PatchedCases.of(X, self.scaling, self.grid, self.network.centre.device)

    def files(self) -> dict[str, bytes]:
        """Name → content of the two files of a model folder."""
        facts = {
            "classifier": KIND,
            "format": FORMAT,
            "classes": self.classes,
            "n_channels": self.n_channels,
            "n_timepoints": self.n_timepoints,
            "mean": self.scaling.mean.tolist(),
            "deviation": self.scaling.deviation.tolist(),
            "shape": self.network.encoder.shape.model_dump(),
            "hyperparameters": self.hyperparameters.model_dump(),
            "encoder": self.origin,
            "fingerprint": self.fingerprint,
            "train_seconds": self.train_seconds,
            "epoch": self.epoch,
        }
        return packed(self.network.state_dict(), facts)

    @classmethod
    def from_files(cls, files: dict[str, bytes], where: Path | str = "memory") -> Model:
        """What `files` gave.

        Raises
        ------
        InputError
            When they are not the two files of one model.
        """
        try:
            facts = facts_of(files, KIND, FORMAT)
            shape, hyperparameters = Shape(**facts["shape"]), Hyperparameters(**facts["hyperparameters"])
            network = MaskedTransformer(PatchEncoder(shape), facts["n_channels"], len(facts["classes"]))
            network.load_state_dict(tensors_of(files))
            scaling = Scaling(np.array(facts["mean"]), np.array(facts["deviation"]))
            grid = Grid(facts["n_timepoints"], shape.length, shape.patch)
            origin = [facts[name] for name in ("encoder", "fingerprint", "train_seconds", "epoch")]
        except (ValueError, KeyError, TypeError, RuntimeError) as error:  # JSON and Pydantic raise ValueErrors
            got = str(error).split("\n")[0]
            raise InputError("this is no model of the masked transformer", where=where, got=got) from error
        return cls(network.to(device()).eval(), scaling, grid, hyperparameters, facts["classes"], *origin)


def read_model(folder: Path) -> Model:
    """A model from its folder; InputError when there is none."""
    return Model.from_files(read_folder(folder, HOW), folder)


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
        Whose encoder to begin with; its head too where the classes and channels are the same.

    Raises
    ------
    InputError
        When encoder and series or sizes do not fit, or `folder` holds another model.
    """
    fingerprint = _fingerprint(X, codes, classes, hyperparameters, random_state, encoder, validation, start)
    if folder is not None and (folder / FACTS).exists():
        return _finished(folder, fingerprint)
    first = start.network.encoder if start else encoder.encoder() if encoder else None
    made = _encoder(first, len(X[0]), hyperparameters, random_state)
    network = MaskedTransformer(made, len(X[0]), len(classes), random_state).to(device())
    scaling, grid = Scaling.of(X), Grid(max(case.shape[1] for case in X), made.shape.length, made.shape.patch)
    cases = PatchedCases.of(X, scaling, grid, device(), np.asarray(codes))
    if start is not None and start.classes == classes and start.n_channels == len(X[0]):
        network.load_state_dict(start.network.state_dict())
    else:
        network.learn_scale(network.features(cases, EVAL_BATCH))
    held_out = None if validation is None else PatchedCases.of(validation[0], scaling, grid, device(), validation[1])
    training = Training(
        network,
        cases,
        lr=hyperparameters.rate(first is not None),
        batch_size=hyperparameters.batch_size,
        epochs=hyperparameters.n_epochs(len(X)),
        linear=hyperparameters.linear,
        random_state=random_state,
        pretrained=first is not None,
        validation=held_out,
    )
    seconds, epoch = train(training, folder=folder, fingerprint=fingerprint)
    origin = start.origin if start else encoder.label if encoder else "fresh"
    model = Model(network, scaling, grid, hyperparameters, classes, origin, fingerprint, seconds, epoch)
    if folder is not None:
        write_folder(folder, model.files())
        (folder / STATE_FILE).unlink(missing_ok=True)
    return model


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


def _fingerprint(
    X: Sequence[np.ndarray],
    codes: np.ndarray,
    classes: list[Any],
    hyperparameters: Hyperparameters,
    random_state: int,
    encoder: Pretrained | None,
    validation: Labelled | None,
    start: Model | None,
) -> str:
    """Hash of all that determines a training run."""
    settings = {**hyperparameters.model_dump(), "random_state": random_state, "classes": classes}
    settings |= {"encoder": encoder and encoder.facts["sha256"], "validated": validation is not None}
    settings["start"] = start and digest(start.network.state_dict())
    held_out = () if validation is None else (*validation[0], np.asarray(validation[1]))
    return data_hash(settings, [*X, np.asarray(codes), *held_out])


def _finished(folder: Path, fingerprint: str) -> Model:
    found = read_model(folder)
    if found.fingerprint != fingerprint:
        fix = "another folder, or remove this one; to go on from this model, name it as the one to start from"
        raise InputError("this folder holds a model of other data or settings", where=folder, fix=fix)
    return found
