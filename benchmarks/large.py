"""LLaVA-1.5-7B at its real size, random weights, one GPU: python -m benchmarks.large [--output FILE] [--seconds N]

One call in which every part is printed, and written to the file, as soon as it is measured, so that a time limit loses
only what comes after. It needs torch, transformers and PEFT; without TRL or bitsandbytes it leaves out their parts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.finetune import make_job
from benchmarks.large_parts import (
    EVAL_BATCH,
    batch_that_fits,
    mean_tokens,
    named,
    peak_memory,
    reason,
    scoring,
    sizes_of_job,
    training,
)
from benchmarks.timing import Result

SECONDS = 480.0  # of ten minutes: what was begun before has the rest to end
FAMILY, FOLDER = "llava-1.5", "llava-1.5-7b-hf"  # a folder of that name gets the published base's settings
_WAYS = tuple((method, checkpointing) for method in ("lora", "qlora") for checkpointing in (False, True))
_NO_GPU = "There is no GPU here, so nothing was measured; --quick runs every part on a replica of tiny widths."
_HOW = (
    "Random weights in the shape of LLaVA-1.5-7B, {precision}, on {device}. Fine-tuning as in `finetune`, {steps} "
    "steps of {batch} cases, timed after the first ten; its share of the peak counts 4 N floating-point operations a "
    "token (N = {parameters:,} weights, {tokens:.0f} tokens a case) against {rate:.0f} TFLOP/s, the best of some "
    "multiplications of large square matrices in bfloat16. Memory is what the device gave out, context included, "
    "beside `vlm_tsc.memory`'s estimate. Scoring as in `score`, {cases} cases of ten classes, batches of {eval_batch}."
)


def run(quick: bool = False, seconds: float = SECONDS, output: Path | None = None) -> Result:
    """Measure on a GPU; with `quick` only show that every part runs. After `seconds` no further part is begun."""
    import torch

    from vlm_tsc.answer.model import be_quiet, device, use_all_cores
    from vlm_tsc.pretrain.rate import matmul_rate

    if not (quick or torch.cuda.is_available()):
        return Result("large", _NO_GPU, (), "")
    be_quiet()
    use_all_cores()
    rounds, steps, n_cases = (1, 20, 20) if quick else (2, 20, 1000)
    report = _Report(seconds, output)
    with tempfile.TemporaryDirectory() as name:
        with report.timed("the replica and its data"):
            job = _job(Path(name), steps, quick)
        rate = matmul_rate(device())
        tokens, parameters = mean_tokens(job), sizes_of_job(job).parameters
        report.how = _HOW.format(
            precision=str(job.precision).removeprefix("torch."),
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            steps=steps,
            batch=job.batch,
            parameters=parameters,
            tokens=tokens,
            rate=rate / 1e12,
            cases=n_cases,
            eval_batch=EVAL_BATCH,
        )
        report.say(report.how)
        report.measure("fine-tuning", partial(training, job, rounds, rate / (4 * parameters * tokens)))
        report.measure("scoring", partial(scoring, job, n_cases, rounds))
        for way in _WAYS if torch.cuda.is_available() else ():
            report.measure(named(job, *way), partial(peak_memory, job, *way))
    return Result("LLaVA-1.5-7B", report.how, tuple(report.rows), "\n\n".join(report.texts))


def _job(folder: Path, steps: int, quick: bool) -> Any:
    from tests.replicas import make_replica
    from vlm_tsc.finetune.plan import give_back_memory

    base = make_replica(FAMILY, folder / FOLDER, tiny=quick)
    give_back_memory()  # it was made on the GPU
    job, _ = make_job(folder, steps, str(base), batch_size=2 if quick else 16)
    return replace(job, batch=batch_that_fits(job), steady=True)


class _Report:
    """What was measured so far: on the terminal, and in a file."""

    def __init__(self, seconds: float, output: Path | None):
        self.started, self.seconds, self.output = time.monotonic(), seconds, output
        self.how, self.texts = "", list[str]()
        self.rows, self.parts = list[Any](), list[dict[str, Any]]()

    def measure(self, what: str, part: Callable[[], tuple[str, Any]]) -> None:
        """Do one part, unless time is up."""
        if (passed := time.monotonic() - self.started) > self.seconds:
            self._add(what, f"{what}: not begun, {passed:.0f} s had passed", None)
            return
        with self.timed(what):
            self._add(what, *attempt(what, part))

    def _add(self, what: str, text: str, row: Any) -> None:
        self.texts.append(text)
        self.rows += [] if row is None else [row]
        self.parts.append({"what": what, "text": text, "row": None if row is None else asdict(row)})
        self.say(text)
        if self.output is not None:
            from vlm_tsc.files import write_json

            write_json(self.output, {**_versions(), "how": self.how, "parts": self.parts})

    @contextmanager
    def timed(self, what: str) -> Any:
        """Says how long the block took."""
        start = time.monotonic()
        yield
        self.say(f"({what}: {time.monotonic() - start:.0f} s)")

    def say(self, text: str) -> None:
        """At once: what is killed later has been said."""
        print(text, file=sys.stderr, flush=True)


def attempt(what: str, measure: Callable[[], tuple[str, Any]]) -> tuple[str, Any]:
    """What `measure` returns, a text and a row, or a line that says why there is none: the other parts are not lost."""
    from vlm_tsc.finetune.plan import give_back_memory

    try:
        return measure()
    except Exception as error:
        return f"{what}: {reason(error)}", None
    finally:
        give_back_memory()


def _versions() -> dict[str, str]:
    import torch
    import transformers

    from vlm_tsc.manifest import commit

    return {"commit": commit(), "torch": torch.__version__, "transformers": transformers.__version__}


def main(argv: Sequence[str]) -> int:
    """Measure, and print each part as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a replica of tiny widths: shows that it runs, no figures")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no part is begun later (%(default).0f)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what was measured as JSON, part by part")
    given = parser.parse_args(argv)
    result = run(given.quick, given.seconds, given.output)
    print(result, flush=True)
    return 1 if "FAILED" in result.table else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
