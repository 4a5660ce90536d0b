"""A trained network with all it needs to answer, whatever it is a network of."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from torch import nn

from vlm_tsc.classify.epochs import STATE_FILE
from vlm_tsc.classify.hyperparameters import NetworkHyperparameters
from vlm_tsc.classify.model_folder import (
    FACTS,
    device,
    digest,
    facts_of,
    packed,
    read_folder,
    tensors_of,
    write_folder,
)
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.errors import InputError
from vlm_tsc.manifest import data_hash

log = logging.getLogger(__name__)
Labelled = tuple[Sequence[np.ndarray], np.ndarray]  # cases (n_channels, n_timepoints), and the code of each


@dataclass(frozen=True)
class TrainedNetwork(ABC):
    """A trained network with all it needs to answer, as its folder keeps it.

    Attributes
    ----------
    network : torch.nn.Module
    scaling : Scaling
        Of its input.
    hyperparameters : NetworkHyperparameters
    classes : list
        Labels (text or numbers) in the order of the network's outputs.
    n_timepoints : int
        Of the longest training case.
    fingerprint : str
        Hash of everything it was made of; see `fingerprint_of`.
    train_seconds : float
    seen : ndarray of int64, optional
        Hashes of the cases that the weights were trained on, those of the models that they began from too; see
        `case_hashes`. None where a folder does not say.
    """

    KIND: ClassVar[str]  # in its facts; a key of `saved.CLASSES`
    FORMAT: ClassVar[int]
    TITLE: ClassVar[str]
    HOW: ClassVar[str]  # to make one

    network: nn.Module
    scaling: Scaling
    hyperparameters: NetworkHyperparameters
    classes: list[Any]
    n_timepoints: int
    fingerprint: str
    train_seconds: float
    seen: np.ndarray | None = field(default=None, kw_only=True)

    @property
    def n_channels(self) -> int:
        return len(self.scaling.mean)

    @abstractmethod
    def probabilities(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """Of cases (n_channels, n_timepoints) of any length: (n_cases, n_classes), float64, columns as `classes`."""

    def own_facts(self) -> dict[str, Any]:
        """JSON values that `own_fields` needs besides those of every network."""
        return {}

    @classmethod
    @abstractmethod
    def own_fields(cls, facts: Mapping[str, Any]) -> dict[str, Any]:
        """From its facts: a network that has not learned yet, the hyperparameters, and any field of the subclass."""

    def files(self) -> dict[str, bytes]:
        """Name → content of the two files of its folder."""
        facts = {
            "classifier": self.KIND,
            "format": self.FORMAT,
            "classes": self.classes,
            "n_channels": self.n_channels,
            "n_timepoints": self.n_timepoints,
            "mean": self.scaling.mean.tolist(),
            "deviation": self.scaling.deviation.tolist(),
            "hyperparameters": self.hyperparameters.model_dump(),
            **self.own_facts(),
            "fingerprint": self.fingerprint,
            "train_seconds": self.train_seconds,
        }
        return packed(self.network.state_dict(), facts, self.seen)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], where: Path | str = "memory") -> Self:
        """What `files` gave, on the device.

        Raises
        ------
        InputError
            When they are not the two files of one network of this kind.
        """
        try:
            facts = facts_of(files, cls.KIND, cls.FORMAT)
            shared = {name: facts[name] for name in ("classes", "n_timepoints", "fingerprint", "train_seconds")}
            scaling = Scaling(np.array(facts["mean"]), np.array(facts["deviation"]))
            tensors, seen = tensors_of(files)
            made = cls(scaling=scaling, seen=seen, **shared, **cls.own_fields(facts))
            made.network.load_state_dict(tensors)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:  # JSON and Pydantic raise ValueErrors
            raise InputError(f"this is no model of {cls.TITLE}", where=where, got=str(error).split("\n")[0]) from error
        made.network.to(device()).eval()
        return made

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The one that a folder holds; InputError when there is none."""
        return cls.from_files(read_folder(folder, cls.HOW), folder)

    @classmethod
    def finished(cls, folder: Path | None, fingerprint: str) -> Self | None:
        """The one that an earlier run left in the folder; None where there is none yet.

        Raises
        ------
        InputError
            When it was made of other data or settings.
        """
        if folder is None or not (folder / FACTS).exists():
            return None
        found = cls.read(folder)
        if found.fingerprint != fingerprint:
            fix = "another folder, or remove this one; to go on from this model, name it as the one to start from"
            raise InputError("this folder holds a model of other data or settings", where=folder, fix=fix)
        return found

    def finish(self, folder: Path) -> None:
        """Write the folder in which it was trained; what an interrupted training goes on from is needed no more."""
        write_folder(folder, self.files())
        (folder / STATE_FILE).unlink(missing_ok=True)


def fingerprint_of(
    settings: Mapping[str, Any], cases: Labelled, validation: Labelled | None, start: TrainedNetwork | None
) -> str:
    """Hash of all that determines a training run and its log; `settings` are JSON values."""
    whole = {**settings, "start": start and digest(start.network.state_dict())}
    if start is not None and start.classes != settings.get("classes"):
        whole["start_classes"] = start.classes  # which row of its head is whose
    parts = [cases] if validation is None else [cases, validation]
    return data_hash(whole, [array for X, codes in parts for array in (*X, np.asarray(codes))])


def rows_of_head(start: TrainedNetwork, classes: Sequence[Any]) -> list[int] | None:
    """Where each of `classes` stands among those of the model to go on from, by name.

    By name, because runs order classes as text ("1", "10", "2") and tables by number. None, and a warning, where the
    classes are not the same: the last layer then begins anew.
    """
    names, wanted = [str(name) for name in start.classes], [str(name) for name in classes]
    if sorted(names) == sorted(wanted):
        return [names.index(name) for name in wanted]
    log.warning("the last layer begins anew: the model to go on from has the classes %s, these are %s", names, wanted)
    return None
