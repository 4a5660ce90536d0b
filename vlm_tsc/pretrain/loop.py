"""One training loop for every pre-training stage: seeded, resumable to the exact step, killed without loss.

A batch is a pure function of (seed, step), so a resumed run sees the data an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch.utils.data import DataLoader, Dataset

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_bytes
from vlm_tsc.finetune.state import broken_named, load_optimizer_tensors, optimizer_tensors
from vlm_tsc.pretrain.rate import counted, matmul_rate

STATE_FILE = "state.safetensors"  # weights, optimizer moments and the step: one file, so never two of different ages


class StepBatches(Dataset):
    """Batch number `step` is `make(step)`."""

    def __init__(self, make: Callable[[int], Any], steps: int):
        self.make = make
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Any:
        return self.make(step)


def run_stage(
    model: nn.Module,
    make_batch: Callable[[int], Any],
    loss_of: Callable[[nn.Module, Any], tuple[torch.Tensor, dict[str, float]]],
    *,
    folder: Path,
    steps: int,
    learning_rate: float,
    warmup_steps: int,
    weight_decay: float = 0.05,
    workers: int = 1,
    save_every_seconds: float = 180.0,
    log_every: int = 25,
    plots_per_batch: int = 1,
    unit: str = "plots",
    other_rates: Mapping[str, float] = MappingProxyType({}),
    has_one_shape: bool = False,
) -> None:
    """Train the parameters of `model` that require gradients until `steps`, from the last checkpoint if there is one.

    Parameters
    ----------
    make_batch : callable
        step -> anything `loss_of` takes; runs in worker processes.
    loss_of : callable
        (model, batch) -> (scalar loss, figures for the log). Called under bf16 autocast.
    plots_per_batch, unit : int, str
        How many of what a batch holds, for the speed in the log.
    other_rates : mapping
        Part of a parameter's name -> its peak learning rate, where that is not `learning_rate`.
    folder : Path
        `state.safetensors` (the checkpoint) and `log.jsonl` are kept here. The log's `share_of_peak` counts the
        operations of a step's matrix products against the rate of a large one on the same device.
    has_one_shape : bool
        All batches have equal shapes, so that a GPU's kernels are worth compiling.

    Raises
    ------
    InputError
        When loss or gradient are no longer numbers, or the checkpoint in `folder` is broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(_groups(model, weight_decay, learning_rate, other_rates), betas=(0.9, 0.98))
    peaks = [group["lr"] for group in optimizer.param_groups]
    start = load_state(folder / STATE_FILE, model, optimizer)
    if start >= steps:
        return
    loader = DataLoader(
        StepBatches(make_batch, steps),
        batch_size=None,
        sampler=range(start, steps),  # type: ignore[arg-type]  # any iterable of indices serves
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        multiprocessing_context="fork" if workers else None,  # a batch is made by a closure, which only a fork inherits
    )
    model.train()
    peak_rate, flops = matmul_rate(device), 0
    saved = logged = time.monotonic()
    sums: dict[str, float] = {}
    for step, batch in enumerate(loader, start=start):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * _schedule(step, steps, warmup_steps)
        with counted() if step == start else nullcontext() as counter:
            with torch.autocast(device.type, torch.bfloat16):
                loss, figures = loss_of(model, batch)
            _check_finite(loss, "the loss", step, folder)
            loss.backward()
        if counter is not None:
            flops = counter.get_total_flops()
            if has_one_shape and device.type == "cuda" and _has_compiler():
                model.compile()  # in place, and only now: a compiled step cannot be counted
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        _check_finite(norm, "the gradient's size", step, folder)  # or the weights would not be, after the last step
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for name, value in {"loss": loss.item(), **figures}.items():
            sums[name] = sums.get(name, 0.0) + value
        now = time.monotonic()
        if (step + 1) % log_every == 0:
            n = min(log_every, step + 1 - start)  # a resumed stage may have begun since the last line
            line = {"step": step + 1, **{name: round(value / n, 4) for name, value in sums.items()}}
            line[f"{unit}_per_second"] = round(n * plots_per_batch / (now - logged), 1)
            line["share_of_peak"] = round(n * flops / (now - logged) / peak_rate, 3)
            _log(folder / "log.jsonl", line)
            sums, logged = {}, now
        if now - saved > save_every_seconds or step + 1 == steps:
            save_state(folder / STATE_FILE, model, optimizer, step + 1)
            saved = now


def _has_compiler() -> bool:
    """Whether there is the C compiler that torch.compile's kernels for a GPU are launched through."""
    return any(shutil.which(name) for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name)


def _check_finite(value: torch.Tensor, name: str, step: int, folder: Path) -> None:
    if not torch.isfinite(value):
        fix = "a lower learning_rate, and another work folder or this one removed"
        raise InputError(f"{name} is no longer a number", where=f"{folder}, step {step}", got=value.item(), fix=fix)


def _schedule(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to 2 % of the peak."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _groups(
    model: nn.Module, weight_decay: float, learning_rate: float, other_rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and embeddings of positions do not. One pair of groups for every learning rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = next((rate for part, rate in other_rates.items() if part in name), learning_rate)
            decay = 0.0 if parameter.ndim < 2 or "embed" in name else weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def _log(path: Path, line: dict[str, Any]) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    with path.open("a") as file:
        file.write(text + "\n")


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write weights, optimizer moments and step into one safetensors file, atomically."""
    tensors = {f"model.{name}": value.detach().contiguous() for name, value in model.state_dict().items()}
    tensors |= optimizer_tensors(optimizer)
    tensors["step"] = torch.tensor(step)
    write_bytes(path, save(tensors))


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Load what `save_state` wrote; returns the step, 0 when there is no checkpoint.

    Raises
    ------
    InputError
        When the file is broken.
    """
    if not path.exists():
        return 0
    with broken_named(path):
        tensors = load_file(path)
    prefix = "model."
    model.load_state_dict({name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)})
    if optimizer is not None:
        load_optimizer_tensors(optimizer, tensors)
    return int(tensors["step"])


def read_weights(path: Path, part: str = "") -> dict[str, torch.Tensor]:
    """The weights that `save_state` wrote of the module named `part` ("tower."), without that name; "" for all."""
    prefix = f"model.{part}"
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118, it cannot be iterated over
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def read_step(path: Path) -> int:
    """The step at which `save_state` wrote."""
    with safe_open(path, "pt") as file:
        return int(file.get_tensor("step"))
