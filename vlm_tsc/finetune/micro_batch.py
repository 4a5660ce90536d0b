"""How many cases a device takes at once; what cannot fit is refused before anything is loaded."""

from __future__ import annotations

import logging
from dataclasses import replace

from vlm_tsc.errors import InputError
from vlm_tsc.finetune.estimate import Plan, estimate, largest_batch
from vlm_tsc.finetune.sizes import Sizes

log = logging.getLogger(__name__)


def fitting_micro_batch(
    sizes: Sizes, plan: Plan, batch_size: int, memory: float, *, given: int | None = None, where: str = "GPU"
) -> int:
    """The largest part of a batch that fits `memory` bytes; the others follow it, and their gradients add up.

    Parameters
    ----------
    given : int, optional
        The part the user wants.
    where : str
        The device, for the message.

    Raises
    ------
    InputError
        When not even one case fits, or not as many as are wanted, with what would.
    """
    divisors = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
    wanted = [check_divides(given, batch_size)] if given else divisors
    found = largest_batch(sizes, plan, memory, wanted)
    if found is not None:
        return found
    need = estimate(sizes, plan, wanted[0]).total
    raise InputError(
        f"This fine-tuning does not fit the memory of the {where}.",
        where=f"--method {plan.method}",
        got=f"{need / 1e9:.1f} GB by estimate, for {wanted[0]} of the batch's {batch_size} cases at once",
        allowed=f"{memory / 1e9:.1f} GB",
        fix=_fix(sizes, plan, divisors, memory),
    )


def check_divides(given: int, batch_size: int) -> int:
    """`given`, when so many cases at once make up a batch."""
    if batch_size % given:
        raise InputError(
            "A batch must be a whole number of parts.",
            where="--micro-batch, --batch-size",
            got=f"{given}, {batch_size}",
            allowed="a divisor of the batch size",
        )
    return given


def warn_if_too_large(sizes: Sizes, plan: Plan, batch_size: int, memory: float) -> None:
    """A warning where a CPU's memory may be too small: it can swap, and other processes may end."""
    need = estimate(sizes, plan, batch_size, reserve=0).total
    if need > memory:
        log.warning(
            "this fine-tuning takes %.1f GB by estimate, and %.1f GB of memory are free; --gradient-checkpointing and "
            "--micro-batch 1 take less",
            need / 1e9,
            memory / 1e9,
        )


def _fix(sizes: Sizes, plan: Plan, divisors: list[int], memory: float) -> str:
    """The smallest change with which it fits."""
    ways = {
        "--micro-batch {n}": plan,
        "--gradient-checkpointing": replace(plan, checkpointing=True),
        "--method qlora": replace(plan, method="qlora"),
        "--method qlora --gradient-checkpointing": replace(plan, method="qlora", checkpointing=True),
    }
    for words, other in ways.items():
        possible = other.stage < 3 or other.method != "qlora"  # quantised weights cannot be parted
        if possible and (n := largest_batch(sizes, other, memory, divisors)) is not None:
            return words.format(n=n)
    return "a smaller --base, or several GPUs with --deepspeed configs/deepspeed/zero3_offload.json"
