"""Several processes, each with its own members of the ensemble.

Members are split and not cases, because members are independent: nothing has to be exchanged within an epoch, every
member becomes exactly what it becomes in one process (batch normalisation over all its cases included), and five GPUs
train the five in the time of one. More processes than members would have nothing to do, and are refused.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save

from vlm_tsc.launcher import n_processes

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Ranks:
    """This process among `count`: of the members every `count`-th, from `index` on."""

    index: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.index == 0

    def own(self, n_members: int) -> range:
        """Numbers of the members that this process trains."""
        return range(self.index, n_members, self.count)

    def share(self, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """Of tensors (n_members, …) the own members' part; numbers, which belong to all, as they are."""
        return {name: value if value.ndim == 0 else value[self.index :: self.count] for name, value in tensors.items()}

    def joined(self, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """Every process's shares as one again, in every process; all must call it."""
        if self.count == 1:
            return dict(tensors)
        parts: list[bytes] = [b""] * self.count
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        torch.distributed.all_gather_object(parts, save(plain))
        return interleaved([load(part) for part in parts])

    def average(self, value: torch.Tensor, n_own: int) -> torch.Tensor:
        """Mean over all members of what is `value`, of any shape, in the mean over the `n_own` of this process."""
        if self.count == 1:
            return value
        total, n = value * n_own, torch.tensor(float(n_own), device=value.device)
        torch.distributed.all_reduce(total)
        torch.distributed.all_reduce(n)
        return total / n

    def agreed(self, value: bool) -> bool:
        """What the first process says."""
        if self.count == 1:
            return value
        said = [value]
        torch.distributed.broadcast_object_list(said, src=0)
        return said[0]

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            torch.distributed.barrier()


ALONE = Ranks()
_joined = ALONE


def interleaved(parts: Sequence[Mapping[str, torch.Tensor]]) -> Tensors:
    """The tensors whose shares `parts` are, one a process."""
    whole: Tensors = {}
    for name, first in parts[0].items():
        if first.ndim == 0:
            whole[name] = first
            continue
        full = first.new_empty((sum(len(part[name]) for part in parts), *first.shape[1:]))
        for index, part in enumerate(parts):
            full[index :: len(parts)] = part[name]
        whole[name] = full
    return whole


def current_ranks() -> Ranks:
    """As `join_processes` found them; alone before it was called.

    Not read off the environment here: under a launcher a main job's first process may run baselines by itself.
    """
    return _joined


def join_processes() -> Ranks:
    """Meet the other processes of a launcher such as torchrun, if there is one."""
    global _joined
    if _joined is ALONE and n_processes() > 1:
        from accelerate import PartialState

        state = PartialState(cpu=not torch.cuda.is_available())  # NCCL and a GPU each, or gloo
        atexit.register(state.destroy_process_group)
        _joined = Ranks(state.process_index, state.num_processes)
    return _joined
