"""Fine-tuning, against TRL's SFTTrainer: the same model, adapters, cases in the same order, batch, steps and labels."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
_FIRST_STEPS = 10  # after which both log a loss


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
    losses: dict[str, list[float]] = {}

    def side(train: Any, name: str) -> Any:
        def measure() -> float:
            with tempfile.TemporaryDirectory() as folder:
                seconds, losses[name] = train(job, Path(folder))
            return seconds / job.cases

        return measure

    sides = {"ours": side(train_ours, "ours"), "peer": side(_peer, "peer"), "limit": lambda: _limit(job) / job.cases}
    found = medians(in_turn(sides, rounds))
    return Row(f"{job.cases:,} cases", found["ours"], found["peer"], found["limit"], target), losses


def alone(job: Job, rounds: int) -> Row:
    """Seconds a case of ours and of the passes alone, without a peer."""

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return train_ours(job, Path(folder))[0] / job.cases

    found = medians(in_turn({"ours": ours, "limit": lambda: _limit(job) / job.cases}, rounds))
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


def train_ours(
    job: Job, folder: Path, method: str = "lora", gradient_checkpointing: bool = False
) -> tuple[float, list[float]]:
    """Seconds of the trainer, and its losses; the adapter is left in `folder`."""
    fit_ours(job, folder, method=method, gradient_checkpointing=gradient_checkpointing)
    return _logged([json.loads(line) for line in (folder / "adapter" / "log.jsonl").read_text().splitlines()])


def fit_ours(
    job: Job,
    folder: Path,
    *,
    method: str = "lora",
    change: Callable[[Any, Any], None] | None = None,
    strength: float = 0.0,
    seed: int = 0,
    gradient_accumulation: int = 1,
    **options: Any,
) -> tuple[Any, Any]:
    """The trained model and its processor; `change` is called with both before the training.

    `strength` is the augmentation's, and `options` are others of `fit_adapter`.
    """
    from vlm_tsc.answer.model import device, load_model, use_attention_for_training
    from vlm_tsc.conversation.augmented import Augmented
    from vlm_tsc.finetune.fit import fit_adapter
    from vlm_tsc.finetune.parts import quantisation_of

    model, processor = load_model(job.base_folder, job.precision, quantisation_of(method, job.base.lora_targets))
    use_attention_for_training(model)
    if change is not None:
        change(model, processor)
    trained = fit_adapter(
        model.to(device()),
        processor,
        job.splits.train,
        None,
        Augmented(job.presentation, strength, seed),
        folder / "adapter",
        base=job.base_name,
        base_folder=job.base_folder,
        patterns=job.base.lora_targets,
        parts=("language", "projector"),
        method=method,
        lora=job.lora,
        steps=job.steps,
        batch_size=job.batch,
        eval_batch_size=job.batch,
        learning_rate=job.learning_rate,
        projector_learning_rate=None,
        warmup_ratio=0.0,
        gradient_accumulation=gradient_accumulation,
        label_smoothing=0.0,
        precision=job.precision,
        seed=seed,
        checkpoint_steps=10**6,
        progress=False,
        **options,
    )
    return trained, processor


def _peer(job: Job, folder: Path) -> tuple[float, list[float]]:
    import torch
    from transformers import PrinterCallback
    from transformers.trainer_utils import set_seed
    from trl import SFTConfig, SFTTrainer

    from vlm_tsc.answer.model import device, load_model
    from vlm_tsc.finetune.parts import make_trainable

    set_seed(0)
    model, processor = load_model(job.base_folder, job.precision)
    parts = ("language", "projector")
    model = make_trainable(model.to(device()), job.base.lora_targets, parts, "lora", job.lora)
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=job.steps,
        per_device_train_batch_size=job.batch,
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=0.01,
        bf16=job.precision == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        seed=0,
        logging_steps=_FIRST_STEPS,
        save_steps=10**6,
        report_to=[],
        max_length=None,
        activation_checkpointing=False,
        train_sampling_strategy="sequential",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=_dataset(job, processor), processing_class=processor
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return _logged(trainer.state.log_history)


def _dataset(job: Job, processor: Any) -> Any:
    """The records that ours draws, in that order; prompts and answers as texts, so that both train on equal tokens."""
    import datasets

    from vlm_tsc.conversation.encoding import answer_text, prompt_text
    from vlm_tsc.conversation.records import images_of, question_messages, read_records

    datasets.disable_progress_bars()
    records = read_records(job.run.train)
    turns = [[turn["value"] for turn in record["conversations"]] for record in records]
    rows = [
        {
            "prompt": prompt_text(processor, question_messages(question)),
            "completion": answer_text(processor, answer),
            "images": [str(job.run.path / image) for image in images_of(record)],
        }
        for record, (question, answer) in zip(records, turns, strict=True)
    ]
    whole = datasets.Dataset.from_list([rows[i] for i in _order(job, len(rows))])
    return whole.cast_column("images", datasets.List(datasets.Image()))


def _order(job: Job, n_cases: int) -> list[int]:
    from vlm_tsc.finetune.draws import epoch_order

    epochs = range(-(-job.cases // n_cases))
    return np.concatenate([epoch_order(0, epoch, n_cases) for epoch in epochs])[: job.cases].tolist()


def _limit(job: Job) -> float:
    """Seconds of the passes alone, over one batch that was encoded before."""
    import time
    from contextlib import nullcontext

    import torch

    from vlm_tsc.answer.batch import answer_trie, encode_examples
    from vlm_tsc.answer.model import device, load_model, use_attention_for_training
    from vlm_tsc.finetune.parts import make_trainable
    from vlm_tsc.finetune.trainer import AnswerTrainer

    model, processor = load_model(job.base_folder, job.precision)
    use_attention_for_training(model)
    model = make_trainable(model.to(device()), job.base.lora_targets, ("language", "projector"), "lora", job.lora)
    model.train()
    cases = [job.splits.train.X[i % job.splits.train.n_cases] for i in range(job.batch)]
    shown = [job.presentation.show(case) for case in cases]
    answers = answer_trie(processor, shown[0].question, job.presentation.builder.answer_map.answers).answers
    batch = encode_examples(processor, shown, [answers[i % len(answers)] for i in range(job.batch)])
    batch = {key: value.to(model.device) for key, value in batch.items()}
    smoothing: Any = type("Plain", (), {"answer_smoothing": 0.0})()
    narrow = job.precision == torch.bfloat16
    start = 0.0
    for step in range(-1, job.steps):  # the first chooses kernels
        if step == 0:
            start = time.perf_counter()
        with torch.autocast(model.device.type, job.precision) if narrow else nullcontext():
            loss = AnswerTrainer.compute_loss(smoothing, model, dict(batch))
        loss.backward()
        float(loss.detach())  # waits for a GPU
    return time.perf_counter() - start


def _logged(lines: list[dict[str, Any]]) -> tuple[float, list[float]]:
    """Seconds, and the losses of every ten steps, as Hugging Face's trainer logs them."""
    (seconds,) = [line["train_runtime"] for line in lines if "train_runtime" in line]
    return seconds, [line["loss"] for line in lines if "loss" in line]


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
