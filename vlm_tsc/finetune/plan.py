"""What a fine-tuning asks of this device: its memory plan, its part of a batch, its place among the ranks."""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoConfig

from vlm_tsc.answer.model import choose_precision, device
from vlm_tsc.archive.splits import Splits
from vlm_tsc.bases import BaseConfig
from vlm_tsc.conversation.budget import TokenCounter
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.processor import load_processor
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.checkpoints import checkpoints_beside, last_whole_checkpoint
from vlm_tsc.finetune.estimate import Plan
from vlm_tsc.finetune.micro_batch import check_divides, fitting_micro_batch, warn_if_too_large
from vlm_tsc.finetune.ranks import Batches, begun_with, check_same_stage, largest_part
from vlm_tsc.finetune.sizes import Sizes, UnknownSizes, sizes_of
from vlm_tsc.finetune.steps import choose_steps
from vlm_tsc.launcher import n_processes
from vlm_tsc.settings import Settings

log = logging.getLogger(__name__)

_LONGEST = 32  # questions whose tokens are counted


def plan_of(
    settings: Settings, tokens: int, image_tokens: int, *, width: int, fused: bool = True, ranks: int = 1
) -> Plan:
    """What these settings ask of one device, for the estimate of its memory."""
    assert settings.trainable is not None and settings.lora_r is not None  # the base's YAML has them
    return Plan(
        method=settings.method,
        parts=settings.trainable,
        r=settings.lora_r,
        dropout=bool(settings.lora_dropout),
        checkpointing=settings.gradient_checkpointing,
        tokens=tokens,
        image_tokens=image_tokens,
        width=width,
        fused=fused,
        stage=zero_stage(settings.deepspeed),
        ranks=ranks,
        offload=settings.deepspeed is not None and "offload_param" in settings.deepspeed.read_text(encoding="utf-8"),
    )


def choose_batches(settings: Settings, base: BaseConfig, n_cases: int, adapter_folder: Path) -> Batches:
    """Those of the interrupted training beside `adapter_folder`, whatever the number of processes, or new ones.

    Raises
    ------
    InputError
        When that training's checkpoints cannot be read with these settings of DeepSpeed.
    """
    checkpoints = checkpoints_beside(adapter_folder)
    stage = zero_stage(settings.deepspeed) if settings.deepspeed else None
    if last_whole_checkpoint(checkpoints) is not None and (begun := begun_with(checkpoints)) is not None:
        check_same_stage(begun, stage)
        return begun
    assert settings.batch_size is not None
    cases = settings.batch_size * settings.gradient_accumulation * n_processes()
    steps = choose_steps(
        n_cases,
        cases,
        num_epochs=settings.num_epochs,
        epochs=base.epochs,
        min_steps=base.min_steps,
        max_steps=base.max_steps,
    )
    return Batches(cases, steps, stage)


def choose_micro_batch(
    settings: Settings, base: BaseConfig, folder: Path, splits: Splits, presentation: Presentation, cases: int
) -> int:
    """Of a process's `cases` a step, those at once: as many as are wanted or fit a GPU; on a CPU a whole batch.

    Of a base whose sizes cannot be told, as many as are wanted.
    """
    assert settings.batch_size is not None
    batch_size, given = largest_part(cases, settings.batch_size), settings.micro_batch
    if given is not None and batch_size < settings.batch_size:  # more processes than there were
        given = largest_part(batch_size, given)
    wanted = check_divides(given or batch_size, batch_size)
    try:
        sizes = sizes_of(AutoConfig.from_pretrained(folder), base.lora_targets)
        longest = _longest(load_processor(folder), presentation, splits)
        return _fitting(settings, sizes, longest, batch_size, given)
    except UnknownSizes as error:
        log.warning("how much memory this takes cannot be told beforehand: %s", " ".join(str(error).split()))
        return wanted


def _fitting(settings: Settings, sizes: Sizes, longest: tuple[int, int], batch_size: int, given: int | None) -> int:
    """Cases at once by the estimate."""
    ranks = n_processes()
    if device().type == "cpu":
        plan = plan_of(settings, *longest, width=4, fused=False, ranks=ranks)
        warn_if_too_large(sizes, plan, given or batch_size, psutil.virtual_memory().available)
        return given or batch_size
    width = 2 if choose_precision(settings.precision) == torch.bfloat16 else 4
    plan = plan_of(settings, *longest, width=width, ranks=ranks)
    free, whole = gpu_memory(device())
    memory = free if ranks == 1 else whole  # all ranks must choose alike, whatever else one GPU is busy with
    return fitting_micro_batch(sizes, plan, batch_size, memory, given=given, where=torch.cuda.get_device_name(device()))


def gpu_memory(gpu: torch.device) -> tuple[int, int]:
    """Bytes that are free on a GPU, once this process has given back what it no longer uses, and all of them."""
    give_back_memory()
    return torch.cuda.mem_get_info(gpu)


def give_back_memory() -> None:
    """Free what earlier trainings held: a trainer and its model refer to each other, and torch keeps what was freed."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where there is no GPU


def _longest(processor: Any, presentation: Presentation, splits: Splits) -> tuple[int, int]:
    """Tokens of the longest training conversation, and of its pictures; of the many-lettered ones only."""
    counter = TokenCounter(processor, presentation.builder, presentation.size)
    builder = presentation.builder
    texts = [(builder.question(case), builder.lead(case)) for case in splits.train.X]
    questions, leads = zip(*sorted(texts, key=lambda pair: sum(map(len, pair)))[-_LONGEST:], strict=True)
    return int(counter.count(questions, leads).max()), counter.image_tokens


def zero_stage(deepspeed: Path | None) -> int:
    """Stage of ZeRO in DeepSpeed's settings: 1 parts the optimizer's state among the ranks, 2 also gradients, 3 all.

    Raises
    ------
    InputError
        When the file is no JSON.
    """
    if deepspeed is None:
        return 0
    try:
        values = json.loads(deepspeed.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError("DeepSpeed's settings are no JSON.", where=f"--deepspeed {deepspeed}", got=error) from None
    return int(values.get("zero_optimization", {}).get("stage", 0))


@contextmanager
def one_rank_without_a_launcher(deepspeed: Path | None) -> Iterator[None]:
    """DeepSpeed looks for MPI where no launcher has said which rank this is: say that it is the only one, meanwhile."""
    if deepspeed is None or "WORLD_SIZE" in os.environ:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    before = {name: os.environ.get(name) for name in alone}
    os.environ.update(alone)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
