"""LLaVA-1.5-7B at its real size, with random weights, on one GPU: fine-tuning, memory, scoring."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finetune import Job, against_trl, comparison, make_job, train_ours
from benchmarks.score import against_generate
from benchmarks.score import comparison as scoring
from benchmarks.series import walks
from benchmarks.timing import Result, table

_EVAL_BATCH = 32
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
    from vlm_tsc.answer.model import be_quiet, device, load_model, use_all_cores
    from vlm_tsc.pretrain.rate import matmul_rate

    if not (quick or torch.cuda.is_available()):
        return Result("large", _NO_GPU, (), "")
    be_quiet()
    use_all_cores()
    rounds, steps, batch = (1, 2, 2) if quick else (3, 20, 16)
    parts: list[str] = []
    rows: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        base = make_replica(FAMILY, Path(name) / FOLDER, tiny=quick)
        job, _ = make_job(Path(name), steps, str(base), batch_size=batch)
        rate = matmul_rate(device())
        tokens, parameters = _tokens_of(job), _parameters_of(job)
        if importlib.util.find_spec("trl"):
            row, losses = against_trl(job, rounds, 1.3)
            share = 4 * parameters * tokens / row.ours / rate
            verdict = f"{share:.0%} of the peak {'≥' if share >= 0.45 else 'BELOW'} 45%"
            parts.append(f"{comparison(row, losses)}\n{verdict}")
            rows.append(row)
        peaks = _peaks(job) if torch.cuda.is_available() else []
        if peaks:
            parts.append(table(("fine-tuning", "peak", "estimate", "apart"), [peak.cells() for peak in peaks]))
            rows += peaks
        model, processor = load_model(base, job.precision)
        cases, answers = _ten_classes(job, 20 if quick else 1000)
        model = model.to(device())
        scored, _, _ = against_generate(model, processor, cases, answers, _EVAL_BATCH, job.precision, rounds, 15.0)
        parts.append(scoring(scored))
        rows.append(scored)
    how = _HOW.format(
        precision=str(job.precision).removeprefix("torch."),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        steps=steps,
        batch=batch,
        parameters=parameters,
        tokens=tokens,
        rate=rate / 1e12,
        cases=len(cases),
        eval_batch=_EVAL_BATCH,
    )
    return Result("LLaVA-1.5-7B", how, tuple(rows), "\n\n".join(parts))


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


def _parameters_of(job: Job) -> int:
    return _sizes(job).parameters


def _peaks(job: Job) -> list[Peak]:
    """Of three steps by each method, with and without gradient checkpointing."""
    import torch

    from vlm_tsc.finetune.estimate import Plan, estimate

    found, sizes, tokens = [], _sizes(job), int(np.ceil(_tokens_of(job)))
    for method in ("lora", "qlora"):
        for checkpointing in (False, True):
            plan = Plan(
                method=method,
                parts=("language", "projector"),
                r=job.lora["r"],
                dropout=bool(job.lora["dropout"]),
                checkpointing=checkpointing,
                tokens=tokens,
                image_tokens=job.base.image_tokens,
            )
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            with tempfile.TemporaryDirectory() as folder:
                train_ours(replace(job, steps=3), Path(folder), method, checkpointing)
            free, whole = torch.cuda.mem_get_info()
            context = whole - free - torch.cuda.memory_reserved()
            what = f"{method}{', checkpointing' if checkpointing else ''}, {job.batch} cases"
            measured = torch.cuda.max_memory_reserved() + context
            found.append(Peak(what, measured, estimate(sizes, plan, job.batch).total))
    return found


def _ten_classes(job: Job, n_cases: int) -> tuple[list[Any], tuple[str, ...]]:
    """Random walks shown as the training cases are, and ten answers to choose from."""
    answers = tuple("ABCDEFGHIJ")
    return [job.presentation.show(case) for case in walks(n_cases, job.splits.train.X[0].shape[1])], answers
