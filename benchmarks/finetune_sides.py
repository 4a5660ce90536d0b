"""The sides of `finetune`: ours, TRL's SFTTrainer, and forward and backward passes alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.finetune import Job

FIRST_STEPS = 10  # after which both trainers log a loss, and a steady job's clock begins


def train_ours(
    job: Job, folder: Path, method: str = "lora", gradient_checkpointing: bool = False
) -> tuple[float, list[float]]:
    """Seconds a case of the trainer, and its losses; the adapter is left in `folder`."""
    marks: list[tuple[int, float]] = []

    def on_log(step: int, figures: Mapping[str, float]) -> None:
        if "loss" in figures:  # which was waited for, also on a GPU
            marks.append((step, time.perf_counter()))

    with unsaved() if job.steady else nullcontext():
        fit_ours(job, folder, method=method, gradient_checkpointing=gradient_checkpointing, on_log=on_log)
    lines = [json.loads(line) for line in (folder / "adapter" / "log.jsonl").read_text().splitlines()]
    return _logged(job, lines, marks)


def unsaved() -> AbstractContextManager[Any]:
    """No checkpoint at the end: of a large base, its optimizer is gigabytes."""
    from unittest.mock import patch

    from transformers import Trainer

    return patch.object(Trainer, "_save_checkpoint", lambda *_, **__: None)


def fit_ours(
    job: Job,
    folder: Path,
    *,
    method: str = "lora",
    change: Callable[[Any, Any], None] | None = None,
    strength: float = 0.0,
    seed: int = 0,
    on_log: Callable[[int, Mapping[str, float]], None] | None = None,
    **options: Any,
) -> tuple[Any, Any]:
    """The trained model and its processor; `change` is called with both before the training.

    `strength` is the augmentation's, and `options` are others of the `Recipe`.
    """
    from vlm_tsc.answer.attention import use_attention_for_training
    from vlm_tsc.answer.model import device, load_model
    from vlm_tsc.conversation.augmented import Augmented
    from vlm_tsc.finetune.fit import fit_adapter
    from vlm_tsc.finetune.parts import quantisation_of
    from vlm_tsc.finetune.recipe import Recipe

    model, processor = load_model(job.base_folder, job.precision, quantisation_of(method, job.base.lora_targets))
    use_attention_for_training(model, job.precision)
    if change is not None:
        change(model, processor)
    recipe = Recipe(
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
        precision=job.precision,
        seed=seed,
        checkpoint_steps=10**6,
        **options,
    )
    trained = fit_adapter(
        model.to(device()),
        processor,
        job.splits.train,
        None,
        Augmented(job.presentation, strength, seed),
        folder / "adapter",
        recipe,
        on_log=on_log,
        progress=False,
    )
    return trained, processor


def train_peer(job: Job, folder: Path) -> tuple[float, list[float]]:
    import torch
    from transformers import PrinterCallback, TrainerCallback
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
        logging_steps=FIRST_STEPS,
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
    marks: list[tuple[int, float]] = []

    class Marks(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                marks.append((state.global_step, time.perf_counter()))

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Marks())
    with unsaved() if job.steady else nullcontext():
        trainer.train()
    return _logged(job, trainer.state.log_history, marks)


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


def passes_alone(job: Job) -> float:
    """Seconds of the passes alone, over one batch that was encoded before."""
    import torch

    from vlm_tsc.answer.attention import use_attention_for_training
    from vlm_tsc.answer.batch import answer_trie, encode_examples
    from vlm_tsc.answer.model import device, load_model
    from vlm_tsc.finetune.answer_loss import AnswerLoss
    from vlm_tsc.finetune.last_layer import last_layer_of
    from vlm_tsc.finetune.parts import make_trainable

    model, processor = load_model(job.base_folder, job.precision)
    use_attention_for_training(model, job.precision)
    model = make_trainable(model.to(device()), job.base.lora_targets, ("language", "projector"), "lora", job.lora)
    model.train()
    cases = [job.splits.train.X[i % job.splits.train.n_cases] for i in range(job.batch)]
    shown = [job.presentation.show(case) for case in cases]
    answers = answer_trie(processor, shown[0].question, job.presentation.builder.answer_map.answers).answers
    batch = encode_examples(processor, shown, [answers[i % len(answers)] for i in range(job.batch)])
    batch = {key: value.to(model.device) for key, value in batch.items()}
    narrow = job.precision == torch.bfloat16
    start = 0.0
    with last_layer_of(model) as last_layer:
        loss_of = AnswerLoss(last_layer=last_layer)
        for step in range(-1, job.steps):  # the first chooses kernels
            if step == 0:
                start = time.perf_counter()
            with torch.autocast(model.device.type, job.precision) if narrow else nullcontext():
                loss, _ = loss_of(model, batch)
            loss.backward()
            float(loss.detach())  # waits for a GPU
    return time.perf_counter() - start


def _logged(job: Job, lines: list[dict[str, Any]], marks: Sequence[tuple[int, float]]) -> tuple[float, list[float]]:
    """Seconds a case, and the losses of every ten steps, as Hugging Face's trainer logs them.

    Of a steady job, seconds are those between its first and its last loss, whose (step, time) are `marks`.
    """
    losses = [line["loss"] for line in lines if "loss" in line]
    if job.steady:
        (first, start), (last, end) = marks[0], marks[-1]
        return (end - start) / ((last - first) * job.batch), losses
    (seconds,) = [line["train_runtime"] for line in lines if "train_runtime" in line]
    return seconds / job.cases, losses
