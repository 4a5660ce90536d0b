"""A trained ensemble with all it needs to answer, and the folder it is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.classify.inception_time.cases import Cases
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.inception_time.network import InceptionTime
from vlm_tsc.classify.inception_time.training import probabilities, train
from vlm_tsc.classify.model_folder import device
from vlm_tsc.classify.ranks import Ranks, current_ranks
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.classify.seen import seen_by
from vlm_tsc.classify.trained_network import Labelled, TrainedNetwork, fingerprint_of, rows_of_head
from vlm_tsc.errors import InputError


@dataclass(frozen=True)
class Ensemble(TrainedNetwork):
    """Networks with all they need to answer; see `TrainedNetwork`."""

    KIND = "inception-time"
    FORMAT = 1
    TITLE = "InceptionTime"
    HOW = "python eval/baselines.py inception-time train … makes one"

    network: InceptionTime
    hyperparameters: Hyperparameters

    def probabilities(self, X: Sequence[np.ndarray]) -> np.ndarray:
        """See `TrainedNetwork`."""
        cases = Cases.of(X, self.scaling, self.network.head.device)
        return probabilities(self.network, cases, self.hyperparameters.batch_size).cpu().numpy()

    @classmethod
    def own_fields(cls, facts: Mapping[str, Any]) -> dict[str, Any]:
        """See `TrainedNetwork`."""
        hyperparameters = Hyperparameters(**facts["hyperparameters"])
        network = _network(facts["n_channels"], len(facts["classes"]), hyperparameters, 0)
        return {"network": network, "hyperparameters": hyperparameters}


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
    validation: Labelled | None = None,
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
        Whose weights to go on from; its last layer only where the classes are the same, in whatever order.

    Raises
    ------
    InputError
        When `start` is of another shape, `folder` holds another model, or there are more processes than members.
    """
    ranks = current_ranks()
    if ranks.count > hyperparameters.models:
        what, got = "there are more processes than networks to train", f"{ranks.count} processes"
        raise InputError(what, where="the launcher", got=got, allowed=f"at most {hyperparameters.models}")
    settings = {**hyperparameters.model_dump(), "random_state": random_state, "classes": classes}
    fingerprint = fingerprint_of(settings, (X, codes), validation, start)
    if (found := Ensemble.finished(folder, fingerprint)) is not None:
        return found
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
    seen = seen_by(X, [] if start is None else [start.seen])
    made = Ensemble(network, scaling, hyperparameters, classes, longest, fingerprint, seconds, seen=seen)
    if folder is not None:
        if ranks.is_first:
            made.finish(folder)
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
    rows, taken = rows_of_head(start, classes), dict(start.network.state_dict())
    for name in ("head", "bias"):  # (n_members, n_classes, …)
        last = taken.pop(name)
        if rows is not None:
            taken[name] = last[:, rows]
    network.load_state_dict(ranks.share(taken), strict=rows is not None)
