"""A training run as a sequence of epochs: logged, checkpointed, gone on from where it was interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vlm_tsc.classify.ranks import ALONE, Ranks
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes, write_text
from vlm_tsc.terminal import bar

STATE_FILE = "state.safetensors"  # everything a resumed run needs, in one file: never two of different ages
LOG_FILE = "log.jsonl"


class Resumable(Protocol):
    """The state of a training run between two epochs; `seconds` of training, those before an interruption included."""

    epoch: int
    seconds: float

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything the next epoch depends on, by name; `epoch` and `seconds` too."""
        ...

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over what `tensors` gave."""
        ...


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


def by_group(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors called `group.name` as group → name → tensor."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
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
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("fingerprint") == fingerprint:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
                training.load(ranks.share(state))
    except FileNotFoundError:
        pass
    except SafetensorError as error:
        raise InputError("the checkpoint is broken", where=path, got=error, fix="delete it") from error
    if not ranks.is_first:
        return
    if training.epoch:
        lines = (folder / LOG_FILE).read_text(encoding="utf-8").splitlines(keepends=True)[: training.epoch]
    write_text(folder / LOG_FILE, "".join(lines))


def _plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}
