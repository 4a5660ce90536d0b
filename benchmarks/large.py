"""LLaVA-1.5-7B at its real size, with random weights, on one GPU: fine-tuning, memory, scoring."""

from __future__ import annotations

import gc
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finetune import Job, against_trl, alone, comparison, make_job, train_ours
from benchmarks.score import against_generate
from benchmarks.score import comparison as scoring
from benchmarks.series import walks
from benchmarks.timing import Result, table

_EVAL_BATCH = 32
_ROOM = 0.9  # of the free memory, for the batch: the peer keeps logits of every token
_WAYS = tuple((method, checkpointing) for method in ("lora", "qlora") for checkpointing in (False, True))
FAMILY, FOLDER = "llava-1.5", "llava-1.5-7b-hf"  # a folder of that name gets the published base's settings
_NO_GPU = "There is no GPU here, so nothing was measured; --quick runs every part on a replica of tiny widths."
_HOW = (
    "Random weights in the shape of LLaVA-1.5-7B, {precision}, on {device}. Fine-tuning as in `finetune`, {steps} "
    "steps of {batch} cases; its share of the peak counts 4 N floating-point operations a token (N = {parameters:,} "
    "weights, {tokens:.0f} tokens a case) against {rate:.0f} TFLOP/s, the best of some multiplications of large square "
    "matrices in bfloat16. Memory is what the device gave out, context included, beside `vlm_tsc.memory`'s estimate. "
    "Scoring as in `score`, {cases} cases of ten classes, batches of {eval_batch}."
)


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


def run(quick: bool = False) -> Result:
    """Measure on a GPU; with `quick` only show that every part runs."""
    import torch

    from tests.replicas import make_replica
    from vlm_tsc.answer.model import be_quiet, device, use_all_cores
    from vlm_tsc.pretrain.rate import matmul_rate

    if not (quick or torch.cuda.is_available()):
        return Result("large", _NO_GPU, (), "")
    be_quiet()
    use_all_cores()
    rounds, steps, n_cases = (1, 2, 20) if quick else (3, 20, 1000)
    with tempfile.TemporaryDirectory() as name:
        base = make_replica(FAMILY, Path(name) / FOLDER, tiny=quick)
        job, _ = make_job(Path(name), steps, str(base), batch_size=2 if quick else 16)
        job = replace(job, batch=_batch_that_fits(job))
        rate = matmul_rate(device())
        tokens, parameters = _tokens_of(job), _sizes(job).parameters
        peak = rate / (4 * parameters * tokens)  # cases a second
        found = [attempt("fine-tuning", lambda: _training(job, rounds, peak))]
        if torch.cuda.is_available():
            found += [attempt(_named(job, *way), partial(_peak, job, *way)) for way in _WAYS]
        found.append(attempt("scoring", lambda: _scoring(job, base, n_cases, rounds)))
    how = _HOW.format(
        precision=str(job.precision).removeprefix("torch."),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        steps=steps,
        batch=job.batch,
        parameters=parameters,
        tokens=tokens,
        rate=rate / 1e12,
        cases=n_cases,
        eval_batch=_EVAL_BATCH,
    )
    rows = tuple(row for _, row in found if row is not None)
    return Result("LLaVA-1.5-7B", how, rows, "\n\n".join(text for text, _ in found))


def attempt(what: str, measure: Callable[[], tuple[str, Any]]) -> tuple[str, Any]:
    """What `measure` returns, a text and a row, or a line that says that the memory was too small for this part."""
    import torch

    try:
        return measure()
    except torch.OutOfMemoryError as error:
        return f"{what}: out of memory ({str(error).splitlines()[0]})", None
    finally:
        forget_models()


def forget_models() -> None:
    """Give back what trainers and models held: they refer to each other, and the allocator keeps what was freed."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _batch_that_fits(job: Job) -> int:
    """Cases at once that fit this GPU by the estimate; on a CPU as many as are wanted."""
    import torch

    from vlm_tsc.finetune.estimate import largest_batch

    if not torch.cuda.is_available():
        return job.batch
    free, _ = torch.cuda.mem_get_info()
    fitting = largest_batch(_sizes(job), _plan(job, "lora", False), _ROOM * free, range(1, job.batch + 1))
    return fitting or 1


def _training(job: Job, rounds: int, peak: float) -> tuple[str, Any]:
    """Cases per second beside TRL's trainer if it is here and fits, and their share of the `peak`."""
    row, losses, beside = None, {}, ""
    if importlib.util.find_spec("trl"):
        text, both = attempt("SFTTrainer or ours", lambda: ("", against_trl(job, rounds, 1.3)))
        beside = text and f"\n{text}"
        row, losses = both or (None, {})
    row = row or alone(job, rounds)
    share = 1 / row.ours / peak
    verdict = f"{share:.0%} of the peak {'≥' if share >= 0.45 else 'BELOW'} 45%"
    return f"{comparison(row, losses)}\n{verdict}{beside}", row


def _scoring(job: Job, base: Path, n_cases: int, rounds: int) -> tuple[str, Any]:
    from vlm_tsc.answer.model import device, load_model

    model, processor = load_model(base, job.precision)
    cases, answers = _ten_classes(job, n_cases)
    model = model.to(device())
    row, _, _ = against_generate(model, processor, cases, answers, _EVAL_BATCH, job.precision, rounds, 15.0)
    return scoring(row), row


def _tokens_of(job: Job) -> float:
    """Mean tokens of a training conversation."""
    from vlm_tsc.conversation.budget import TokenCounter
    from vlm_tsc.conversation.processor import load_processor

    counter = TokenCounter(load_processor(job.base_folder), job.presentation.builder, job.presentation.size)
    builder = job.presentation.builder
    texts = [(builder.question(case), builder.lead(case)) for case in job.splits.train.X]
    return float(counter.count(*zip(*texts, strict=True)).mean())


def _sizes(job: Job) -> Any:
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
        tokens=int(np.ceil(_tokens_of(job))),
        image_tokens=job.base.image_tokens,
    )


def _named(job: Job, method: str, checkpointing: bool) -> str:
    return f"{method}{', checkpointing' if checkpointing else ''}, {job.batch} cases"


def _peak(job: Job, method: str, checkpointing: bool) -> tuple[str, Peak]:
    """Of three steps."""
    import torch

    from vlm_tsc.finetune.estimate import estimate

    forget_models()
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        train_ours(replace(job, steps=3), Path(folder), method, checkpointing)
    free, whole = torch.cuda.mem_get_info()
    context = whole - free - torch.cuda.memory_reserved()
    measured = torch.cuda.max_memory_reserved() + context
    estimated = estimate(_sizes(job), _plan(job, method, checkpointing), job.batch).total
    peak = Peak(_named(job, method, checkpointing), measured, estimated)
    return table(("fine-tuning", "peak", "estimate", "apart"), [peak.cells()]), peak


def _ten_classes(job: Job, n_cases: int) -> tuple[list[Any], tuple[str, ...]]:
    """Random walks shown as the training cases are, and ten answers to choose from."""
    answers = tuple("ABCDEFGHIJ")
    return [job.presentation.show(case) for case in walks(n_cases, job.splits.train.X[0].shape[1])], answers
