"""Optimizer moments and random states as safetensors: nothing that is read back can run code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes


@contextmanager
def broken_named(path: Path) -> Iterator[None]:
    """Within, what safetensors says of a broken checkpoint becomes an InputError that names the file."""
    try:
        yield
    except SafetensorError as error:
        fix = "delete it: the training begins anew"
        raise InputError("the checkpoint is broken", where=path, got=error, fix=fix) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The per-parameter state of `optimizer` as flat named tensors."""
    return {
        f"optimizer.{index}.{key}": torch.as_tensor(value).contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give `optimizer` the state that `optimizer_tensors` took; its own parameter groups stay."""
    whole = optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            whole["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(whole)


def save_random_state(path: Path) -> None:
    """Write torch's random state, and that of every GPU, atomically."""
    states = {"cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    write_bytes(path, save(states))


def load_random_state(path: Path) -> None:
    """Restore what `save_random_state` wrote; a GPU that was not there then keeps its state."""
    states = load_file(path)
    torch.random.set_rng_state(states.pop("cpu"))
    if torch.cuda.is_available():
        for name, state in states.items():
            if int(name[4:]) < torch.cuda.device_count():
                torch.cuda.set_rng_state(state, int(name[4:]))
