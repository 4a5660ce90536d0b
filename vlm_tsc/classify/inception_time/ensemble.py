"""A trained ensemble with all it needs to answer, and the folder it is kept in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.classify.epochs import STATE_FILE
from vlm_tsc.classify.inception_time.cases import Cases
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.inception_time.network import InceptionTime
from vlm_tsc.classify.inception_time.training import probabilities, train
from vlm_tsc.classify.model_folder import (
    FACTS,
    WEIGHTS,
    device,
    facts_of,
    packed,
    read_folder,
    tensors_of,
    write_folder,
)
from vlm_tsc.classify.ranks import Ranks, current_ranks
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.errors import InputError
from vlm_tsc.manifest import data_hash

FORMAT = 1


@dataclass(frozen=True)
class Ensemble:
    """Networks, the scaling of their input, and what their outputs stand for.

    Attributes
    ----------
    network : InceptionTime
    scaling : Scaling
    hyperparameters : Hyperparameters
    classes : list
        Labels (text or numbers) in the order of the network's outputs.
    n_timepoints : int
        Of the longest training case.
    fingerprint : str
        Hash of everything it was made of.
    train_seconds : float
    """

    network: InceptionTime
    scaling: Scaling
    hyperparameters: Hyperparameters
    classes: list[Any]
    n_timepoints: int
    fingerprint: str
    train_seconds: float

    @property
    def n_channels(self) -> int:
        return len(self.scaling.mean)

    def probabilities(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """Of cases (n_channels, n_timepoints) of any length: (n_cases, n_classes), float64, columns as `classes`."""
        cases = Cases.of(X, self.scaling, self.network.head.device)
        return probabilities(self.network, cases, self.hyperparameters.batch_size).cpu().numpy()

    def files(self) -> dict[str, bytes]:
        """Name → content of the two files of a model folder."""
        facts = {
            "classifier": "inception-time",
            "format": FORMAT,
            "classes": self.classes,
            "n_channels": self.n_channels,
            "n_timepoints": self.n_timepoints,
            "mean": self.scaling.mean.tolist(),
            "deviation": self.scaling.deviation.tolist(),
            "hyperparameters": self.hyperparameters.model_dump(),
            "fingerprint": self.fingerprint,
            "train_seconds": self.train_seconds,
        }
        return packed(self.network.state_dict(), facts)

    @classmethod
    def from_files(cls, files: dict[str, bytes], where: Path | str = "memory") -> Ensemble:
        """What `files` gave.

        Raises
        ------
        InputError
            When they are not the two files of one ensemble.
        """
        try:
            facts = facts_of(files, "inception-time", FORMAT)
            hyperparameters = Hyperparameters(**facts["hyperparameters"])
            network = _network(facts["n_channels"], len(facts["classes"]), hyperparameters, 0)
            network.load_state_dict(tensors_of(files))
            scaling = Scaling(np.array(facts["mean"]), np.array(facts["deviation"]))
            origin = facts["n_timepoints"], facts["fingerprint"], facts["train_seconds"]
        except (ValueError, KeyError, TypeError, RuntimeError) as error:  # JSON and Pydantic raise ValueErrors
            raise InputError("this is no model of InceptionTime", where=where, got=str(error).split("\n")[0]) from error
        return cls(network.to(device()).eval(), scaling, hyperparameters, facts["classes"], *origin)


def _network(
    n_channels: int,
    n_classes: int,
    hyperparameters: Hyperparameters,
    random_state: int,
    members: range | None = None,
) -> InceptionTime:
    """All members, or those that are named."""
    sizes = hyperparameters.filters, hyperparameters.depth
    return InceptionTime(n_channels, n_classes, *sizes, members or range(hyperparameters.models), random_state)


def train_ensemble(
    X: Sequence[np.ndarray],
    codes: np.ndarray,
    classes: list[Any],
    hyperparameters: Hyperparameters,
    *,
    random_state: int = 0,
    validation: tuple[Sequence[np.ndarray], np.ndarray] | None = None,
    folder: Path | None = None,
    start: Ensemble | None = None,
) -> Ensemble:
    """Train an ensemble; after `ranks.join_processes`, in several processes, each of which returns all of it.

    Parameters
    ----------
    X : sequence of ndarray (n_channels, n_timepoints)
    codes : ndarray (n_cases,) of int
        Position of each case's class in `classes`.
    validation : (X, codes), optional
        Only looked at for the log.
    folder : Path, optional
        For log and checkpoint, see `training.train`; the finished ensemble is written there too.
    start : Ensemble, optional
        Whose weights to go on from; its last layer only where the classes are the same.

    Raises
    ------
    InputError
        When `start` is of another shape, `folder` holds another model, or there are more processes than members.
    """
    ranks = current_ranks()
    if ranks.count > hyperparameters.models:
        what, got = "there are more processes than networks to train", f"{ranks.count} processes"
        raise InputError(what, where="the launcher", got=got, allowed=f"at most {hyperparameters.models}")
    fingerprint = _fingerprint(X, codes, classes, hyperparameters, random_state, validation, start)
    if folder is not None and (folder / FACTS).exists():
        return _finished(folder, fingerprint)
    scaling = Scaling.of(X)
    shape = len(X[0]), len(classes), hyperparameters, random_state
    network = _network(*shape, ranks.own(hyperparameters.models)).to(device())
    if start is not None:
        _start_from(network, start, classes, hyperparameters, ranks)
    seconds = train(
        network,
        Cases.of(X, scaling, device(), codes),
        lr=hyperparameters.lr,
        batch_size=hyperparameters.batch_size,
        epochs=hyperparameters.epochs,
        random_state=random_state,
        validation=None if validation is None else Cases.of(validation[0], scaling, device(), validation[1]),
        folder=folder,
        fingerprint=fingerprint,
        ranks=ranks,
    )
    if ranks.count > 1:
        whole = ranks.joined(network.state_dict())
        network = _network(*shape).to(device()).eval()
        network.load_state_dict(whole)
    longest = max(case.shape[1] for case in X)
    made = Ensemble(network, scaling, hyperparameters, classes, longest, fingerprint, seconds)
    if folder is not None:
        if ranks.is_first:
            write_folder(folder, made.files())
            (folder / STATE_FILE).unlink(missing_ok=True)
        ranks.wait()
    return made


def _start_from(
    network: InceptionTime, start: Ensemble, classes: list[Any], hyperparameters: Hyperparameters, ranks: Ranks
) -> None:
    for name in ("filters", "depth", "models"):
        got, allowed = getattr(hyperparameters, name), getattr(start.hyperparameters, name)
        if got != allowed:
            raise InputError("the model to go on from is of another size", where=name, got=got, allowed=allowed)
    n_channels = network.blocks[0].pooled.shape[2]  # type: ignore[union-attr]
    if n_channels != start.n_channels:
        what = "the model to go on from has another number of channels"
        raise InputError(what, where="the training cases", got=n_channels, allowed=start.n_channels)
    same = classes == start.classes
    taken = {name: value for name, value in start.network.state_dict().items() if same or name not in ("head", "bias")}
    network.load_state_dict(ranks.share(taken), strict=same)


def _fingerprint(
    X: Sequence[np.ndarray],
    codes: np.ndarray,
    classes: list[Any],
    hyperparameters: Hyperparameters,
    random_state: int,
    validation: tuple[Sequence[np.ndarray], np.ndarray] | None,
    start: Ensemble | None,
) -> str:
    """Hash of all that determines a training run and its log."""
    settings = {**hyperparameters.model_dump(), "random_state": random_state, "classes": classes}
    settings["start"] = start and hashlib.sha256(start.files()[WEIGHTS]).hexdigest()
    held_out = () if validation is None else (*validation[0], np.asarray(validation[1]))
    return data_hash(settings, [*X, np.asarray(codes), *held_out])


def _finished(folder: Path, fingerprint: str) -> Ensemble:
    found = Ensemble.from_files(read_folder(folder), folder)
    if found.fingerprint != fingerprint:
        fix = "another folder, or remove this one; to go on from this model, name it as the one to start from"
        raise InputError("this folder holds a model of other data or settings", where=folder, fix=fix)
    return found
