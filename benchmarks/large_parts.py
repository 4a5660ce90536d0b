"""The parts of `large`: fine-tuning beside TRL, peak memory beside its estimate, scoring beside one-by-one generate."""

from __future__ import annotations

import importlib.util
import tempfile
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finetune import Job, against_trl, alone, comparison
from benchmarks.finetune_sides import fit_ours, unsaved
from benchmarks.score import against_generate
from benchmarks.score import comparison as scoring_table
from benchmarks.series import walks
from benchmarks.timing import table

EVAL_BATCH = 32
_ROOM = 0.9  # of the free memory, for the batch: the peer keeps logits of every token
_PEAK_STEPS = 3


@dataclass(frozen=True)
class Peak:
    """Peak memory of a fine-tuning in bytes, and its estimate."""

    what: str
    measured: float
    estimated: float

    def cells(self) -> list[str]:
        """A line of the table."""
        apart = self.estimated / self.measured - 1
        verdict = f"{apart:+.0%} {'within' if abs(apart) <= 0.1 else 'BEYOND'} 10%"
        return [self.what, f"{self.measured / 1e9:.2f} GB", f"{self.estimated / 1e9:.2f} GB", verdict]


def training(job: Job, rounds: int, peak: float) -> tuple[str, Any]:
    """Cases per second beside TRL's trainer if it is here, and their share of the `peak`, cases a second.

    Where TRL's does not fit with this batch, both train with half of it.
    """
    import torch

    from vlm_tsc.finetune.plan import give_back_memory

    row, losses, notes = None, {}, []
    sizes = sorted({job.batch, max(1, job.batch // 2)}, reverse=True)
    for batch in sizes if importlib.util.find_spec("trl") else ():
        try:
            row, losses = against_trl(replace(job, batch=batch), rounds, 1.3)
            break
        except Exception as error:
            notes.append(f"beside SFTTrainer, {batch} cases: {reason(error)}")
            if not isinstance(error, torch.OutOfMemoryError):
                break
        give_back_memory()
    row = row or alone(job, rounds)
    share = 1 / row.ours / peak
    verdict = f"{share:.0%} of the peak {'≥' if share >= 0.45 else 'BELOW'} 45%"
    return "\n".join([comparison(row, losses), verdict, *notes]), row


def reason(error: Exception) -> str:
    """Why a part was not measured, in a line; of what nobody expects, the traceback is printed too."""
    import torch

    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of memory ({first})"
    if isinstance(error, ImportError):
        return f"not measured ({first})"
    traceback.print_exception(error)
    return f"FAILED ({type(error).__name__}: {first})"


def scoring(job: Job, n_cases: int, rounds: int) -> tuple[str, Any]:
    """Cases per second beside `generate`."""
    from vlm_tsc.answer.model import device, load_model

    model, processor = load_model(job.base_folder, job.precision)
    answers = tuple("ABCDEFGHIJ")
    cases = [job.presentation.show(case) for case in walks(n_cases, job.splits.train.X[0].shape[1])]
    model = model.to(device())
    row, _, _ = against_generate(model, processor, cases, answers, EVAL_BATCH, job.precision, rounds, 15.0)
    return scoring_table(row), row


def peak_memory(job: Job, method: str, checkpointing: bool) -> tuple[str, Peak]:
    """Of some steps on a GPU."""
    import torch

    from vlm_tsc.finetune.estimate import estimate

    torch.cuda.reset_peak_memory_stats()
    with unsaved(), tempfile.TemporaryDirectory() as folder:
        fit_ours(replace(job, steps=_PEAK_STEPS), Path(folder), method=method, gradient_checkpointing=checkpointing)
    free, whole = torch.cuda.mem_get_info()
    context = whole - free - torch.cuda.memory_reserved()
    measured = torch.cuda.max_memory_reserved() + context
    estimated = estimate(sizes_of_job(job), _plan(job, method, checkpointing), job.batch).total
    peak = Peak(named(job, method, checkpointing), measured, estimated)
    return table(("fine-tuning", "peak", "estimate", "apart"), [peak.cells()]), peak


def named(job: Job, method: str, checkpointing: bool) -> str:
    """What is trained, for a table."""
    return f"{method}{', checkpointing' if checkpointing else ''}, {job.batch} cases"


def batch_that_fits(job: Job) -> int:
    """Cases at once that fit this GPU by the estimate; on a CPU as many as are wanted."""
    import torch

    from vlm_tsc.finetune.estimate import largest_batch

    if not torch.cuda.is_available():
        return job.batch
    free, _ = torch.cuda.mem_get_info()
    fitting = largest_batch(sizes_of_job(job), _plan(job, "lora", False), _ROOM * free, range(1, job.batch + 1))
    return fitting or 1


def mean_tokens(job: Job) -> float:
    """Mean tokens of a training conversation."""
    from vlm_tsc.conversation.budget import TokenCounter
    from vlm_tsc.conversation.processor import load_processor

    counter = TokenCounter(load_processor(job.base_folder), job.presentation.builder, job.presentation.size)
    builder = job.presentation.builder
    texts = [(builder.question(case), builder.lead(case)) for case in job.splits.train.X]
    return float(counter.count(*zip(*texts, strict=True)).mean())


def sizes_of_job(job: Job) -> Any:
    """Sizes of its base."""
    from transformers import AutoConfig

    from vlm_tsc.finetune.sizes import sizes_of

    return sizes_of(AutoConfig.from_pretrained(job.base_folder), job.base.lora_targets)


def _plan(job: Job, method: str, checkpointing: bool) -> Any:
    from vlm_tsc.finetune.estimate import Plan

    assert job.base.image_tokens is not None
    return Plan(
        method=method,
        parts=("language", "projector"),
        r=job.lora["r"],
        dropout=bool(job.lora["dropout"]),
        checkpointing=checkpointing,
        tokens=int(np.ceil(mean_tokens(job))),
        image_tokens=job.base.image_tokens,
    )
