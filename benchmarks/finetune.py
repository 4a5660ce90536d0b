"""Fine-tuning, against TRL's SFTTrainer: the same model, adapters, cases in the same order, batch, steps and labels."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.finetune_sides import passes_alone, train_ours, train_peer
from benchmarks.series import source_of
from benchmarks.timing import Result, Row, in_turn, medians, table

BASE = "plot-llava-mini"
_PEER = "TRL is not installed here, so nothing was measured: pip install trl, beside this project's environment."
_HOW = (
    "{steps} steps of {batch} training cases of {source}, base {base} in {precision} on {device}, {threads} threads; "
    "LoRA on language, projector in full. Seconds are the trainers' own, from the first step to the last, what they "
    "save at the end included; models are loaded before. Ours: fit_adapter, pictures redrawn for every draw. Peer: "
    "SFTTrainer {trl} on the pictures of the run folder, prompts rendered before, without gradient checkpointing. "
    "Medians of {rounds} rounds. What limits ours is forward and backward passes over batches encoded before. Losses "
    "are means over ten steps; of the peer's, the largest relative difference from ours is shown."
)


@dataclass(frozen=True)
class Job:
    """What both sides train: the run's data, and how."""

    run: Any
    splits: Any
    presentation: Any
    base_name: str
    base: Any
    base_folder: Path
    precision: Any
    steps: int
    batch: int
    lora: dict[str, Any]
    learning_rate: float
    steady: bool = False  # seconds are of the steps after the first ten, and nothing is saved

    @property
    def cases(self) -> int:
        """Cases that a side sees."""
        return self.steps * self.batch


def run(quick: bool = False) -> Result:
    """Measure on the real TwoLeadECG where it is at hand, else on random walks of its shape."""
    if importlib.util.find_spec("trl") is None:
        return Result("finetune", _PEER, (), "")
    import torch
    import trl

    from vlm_tsc.answer.model import be_quiet, use_all_cores

    be_quiet()
    use_all_cores()
    rounds, steps = (1, 2) if quick else (3, 40)
    with tempfile.TemporaryDirectory() as name:
        job, source = make_job(Path(name), steps)
        row, losses = against_trl(job, rounds, 1.5)
    how = _HOW.format(
        steps=steps,
        batch=job.batch,
        source=source,
        base=BASE,
        precision=str(job.precision).removeprefix("torch."),
        device="GPU" if torch.cuda.is_available() else "CPU",
        threads=torch.get_num_threads(),
        trl=trl.__version__,
        rounds=rounds,
    )
    return Result("finetune", how, (row,), comparison(row, losses))


def against_trl(job: Job, rounds: int, target: float) -> tuple[Row, dict[str, list[float]]]:
    """Seconds a case of both sides and of the passes alone, and both sides' losses."""
    from vlm_tsc.finetune.plan import give_back_memory

    losses: dict[str, list[float]] = {}

    def side(train: Any, name: str) -> Any:
        def measure() -> float:
            with tempfile.TemporaryDirectory() as folder:
                seconds, losses[name] = train(job, Path(folder))
            give_back_memory()  # the next side loads a model of its own
            return seconds

        return measure

    sides = {
        "ours": side(train_ours, "ours"),
        "peer": side(train_peer, "peer"),
        "limit": lambda: passes_alone(job) / job.cases,
    }
    found = medians(in_turn(sides, rounds))
    return Row(f"{job.cases:,} cases", found["ours"], found["peer"], found["limit"], target), losses


def alone(job: Job, rounds: int) -> Row:
    """Seconds a case of ours and of the passes alone, without a peer."""

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return train_ours(job, Path(folder))[0]

    found = medians(in_turn({"ours": ours, "limit": lambda: passes_alone(job) / job.cases}, rounds))
    return Row(f"{job.cases:,} cases", found["ours"], float("nan"), found["limit"])


def make_job(folder: Path, steps: int, base_name: str = BASE, **changes: Any) -> tuple[Job, str]:
    """What both sides train, with its data in `folder`, and the name of the series; `changes` are settings."""
    source = source_of("TwoLeadECG", folder)
    given = {source.options[0][2:].replace("-", "_"): source.options[1], "dataset": source.dataset}
    return job_on(folder, {**given, "data_repr": "BASELINE", **changes}, steps, base_name), source.description


def job_on(folder: Path, given: Mapping[str, Any], steps: int, base_name: str = BASE) -> Job:
    """What is trained, with its data in `folder`; `given` are settings."""
    from vlm_tsc import job
    from vlm_tsc.answer.model import choose_precision
    from vlm_tsc.archive.store import read_splits
    from vlm_tsc.bases import load_base
    from vlm_tsc.config import settings_from
    from vlm_tsc.conversation.processor import checkpoint_folder

    settings = settings_from({**given, "base": base_name, "vlm_root": str(folder)})
    run = job.prepare(settings, 0)
    base = load_base(base_name)
    lora = {"r": settings.lora_r, "alpha": settings.lora_alpha, "dropout": settings.lora_dropout}
    assert settings.batch_size is not None and settings.learning_rate is not None
    return Job(
        run,
        read_splits(run.series),
        job.presentation_of(run),
        base_name,
        base,
        checkpoint_folder(base),
        choose_precision("auto"),
        steps,
        settings.batch_size,
        lora,
        settings.learning_rate,
    )


def comparison(row: Row, losses: dict[str, list[float]]) -> str:
    """Cases per second of all sides, and how far the losses are apart; of ours and the limit where there is no peer."""
    if not losses:
        cells = (row.what, f"{1 / row.ours:,.1f}", f"{1 / row.limit:,.1f}", f"{row.limit_share:.0%}")
        return table(("cases per second", "ours", "limit", "of our time"), [cells])
    headings = ("cases per second", "ours", "SFTTrainer", "ratio", "limit", "of our time", "losses")
    rates = [f"{1 / seconds:,.1f}" for seconds in (row.ours, row.peer, row.limit)]
    apart = [abs(theirs / ours - 1) for ours, theirs in zip(losses["ours"], losses["peer"], strict=True)]
    shown = f"{max(apart):.1%} apart" if apart else "–"
    return table(headings, [(row.what, rates[0], rates[1], row.verdict(), rates[2], f"{row.limit_share:.0%}", shown)])
