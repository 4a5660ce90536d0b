"""A training run as a sequence of epochs: logged, checkpointed, gone on from where it was interrupted."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from vlm_tsc.classify.ranks import ALONE, Ranks, Tensors
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes, write_text
from vlm_tsc.finetune.state import broken_named
from vlm_tsc.terminal import bar

STATE_FILE = "state.safetensors"  # everything a resumed run needs, in one file: never two of different ages
LOG_FILE = "log.jsonl"


class Resumable(ABC):
    """The state of a training run between two epochs.

    Attributes
    ----------
    network : torch.nn.Module
    random_state : int
    best : dict of str to Tensor
        Weights that count if no better ones follow.
    epoch : int
        Epochs that are done.
    seconds : float
        Of training, those before an interruption included.
    """

    def __init__(self, network: torch.nn.Module, random_state: int):
        self.network: Any = network
        self.random_state = random_state
        self.best = {name: value.clone() for name, value in network.state_dict().items()}
        self.epoch = 0
        self.seconds = 0.0

    @abstractmethod
    def own_tensors(self) -> Tensors:
        """What the next epoch depends on besides, by name."""

    @abstractmethod
    def load_own(self, tensors: Tensors) -> None:
        """Take over what `own_tensors` gave, of all tensors."""

    def tensors(self) -> Tensors:
        """Everything the next epoch depends on, by name."""
        named = in_groups(network=self.network.state_dict(), best=self.best) | self.own_tensors()
        return named | {"epoch": torch.tensor(self.epoch), "seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def load(self, tensors: Tensors) -> None:
        """Take over what `tensors` gave."""
        groups = by_group(tensors)
        self.network.load_state_dict(groups["network"])
        self.best = {name: groups["best"][name].to(value.device) for name, value in self.best.items()}
        self.load_own(tensors)
        self.epoch, self.seconds = int(tensors["epoch"]), float(tensors["seconds"])

    def check_finite(self, loss: float, got: Any = None) -> None:
        """Raise InputError where an epoch's loss, of which `got` tells more, is no longer a number."""
        if not math.isfinite(loss):
            where = f"epoch {self.epoch}"
            got = loss if got is None else got
            raise InputError("the training loss is not finite", where=where, got=got, fix="a lower lr")


def run_epochs(
    training: Resumable,
    epochs: int,
    one_epoch: Callable[[], dict[str, float]],
    *,
    title: str,
    folder: Path | None = None,
    fingerprint: str = "",
    save_every_seconds: float = 30.0,
    ranks: Ranks = ALONE,
) -> None:
    """Run `one_epoch` until `training.epoch`, which it counts up, is `epochs`.

    Parameters
    ----------
    one_epoch : callable
        () → figures for the log, train_loss among them.
    folder : Path, optional
        For `state.safetensors`, from which an interrupted run goes on, and `log.jsonl`, one line an epoch.
    fingerprint : str
        Hash of all that determines the run; a state with another one is not gone on from.
    ranks : Ranks
        With several processes, `training` is this one's share of the members, and `one_epoch` gives figures of all of
        them. The first writes. Log and state are the same whatever their number: a run may go on with another.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _go_on(training, folder, fingerprint, ranks)
    saved = time.monotonic()
    with bar(None, title, total=epochs, initial=training.epoch, unit="epoch", shown=ranks.is_first) as progress:
        while training.epoch < epochs:
            started = time.monotonic()
            figures = one_epoch()
            training.seconds += time.monotonic() - started
            if folder is not None:
                if ranks.is_first:
                    with (folder / LOG_FILE).open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"epoch": training.epoch, **figures}) + "\n")
                if ranks.agreed(time.monotonic() - saved >= save_every_seconds or training.epoch == epochs):
                    _save_state(training, folder, fingerprint, ranks)
                    saved = time.monotonic()
            progress.set_postfix_str(f"loss {figures['train_loss']:.4f}")
            progress.update()


def in_groups(**groups: Mapping[str, torch.Tensor]) -> Tensors:
    """Tensors of several groups as one: name → tensor of `group` becomes `group.name` → tensor."""
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


def by_group(tensors: Tensors) -> dict[str, Tensors]:
    """What `in_groups` was given: group → name → tensor."""
    groups: dict[str, Tensors] = {}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = value
    return groups


def _save_state(training: Resumable, folder: Path, fingerprint: str, ranks: Ranks) -> None:
    tensors = ranks.joined(training.tensors())
    if ranks.is_first:
        write_bytes(folder / STATE_FILE, save(_plain(tensors), {"fingerprint": fingerprint}))


def _go_on(training: Resumable, folder: Path, fingerprint: str, ranks: Ranks) -> None:
    """Load the state of an interrupted run, if it is of the same run, and cut the log to its epochs."""
    path, lines = folder / STATE_FILE, []
    try:
        with broken_named(path), safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("fingerprint") == fingerprint:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
                training.load(ranks.share(state))
    except FileNotFoundError:
        pass
    if not ranks.is_first:
        return
    if training.epoch:
        lines = (folder / LOG_FILE).read_text(encoding="utf-8").splitlines(keepends=True)[: training.epoch]
    write_text(folder / LOG_FILE, "".join(lines))


def _plain(tensors: Tensors) -> Tensors:
    return {name: value.detach().contiguous() for name, value in tensors.items()}
