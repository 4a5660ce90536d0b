"""Fine-tune a loaded base on training cases and leave a finished adapter folder."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.trainer_utils import set_seed

from vlm_tsc.answer.ask import ask
from vlm_tsc.answer.attention import attention_with_masks
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.files import full_disk_named
from vlm_tsc.finetune.adapter import MEMBER, name_base, write_adapter_facts
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.checkpoints import Stopwatch, checkpoints_beside, last_whole_checkpoint
from vlm_tsc.finetune.draws import Draw, TrainingDraws
from vlm_tsc.finetune.examples import Examples
from vlm_tsc.finetune.last_layer import last_layer_of
from vlm_tsc.finetune.parts import base_of, make_trainable, projector_names, quantisation_of
from vlm_tsc.finetune.plan import zero_stage
from vlm_tsc.finetune.preflight import check_sees_picture, check_supervision
from vlm_tsc.finetune.progress import Curves, Finite, OnLog, ProgressLines
from vlm_tsc.finetune.ranks import Batches, deepspeed_for, note_batches
from vlm_tsc.finetune.recipe import Recipe
from vlm_tsc.finetune.teacher import TowerTeacher
from vlm_tsc.finetune.trainer import AnswerTrainer
from vlm_tsc.launcher import n_processes
from vlm_tsc.terminal import is_first

log = logging.getLogger(__name__)

_PREFLIGHT_CASES = 8
_PREFLIGHT_CASES_ZERO_3 = 1  # whole on the CPU of every rank, where 7B take minutes for eight


def fit_adapter(
    model: Any,
    processor: Any,
    train: SeriesSet,
    validation: SeriesSet | None,
    augmented: Augmented,
    adapter_folder: Path,
    recipe: Recipe,
    *,
    members: Sequence[Path] = (),
    on_log: OnLog | None = None,
    progress: bool = True,
) -> Any:
    """Train until `recipe.steps`, from the newest whole checkpoint beside `adapter_folder` if there is one.

    Only `train` is learned from; `validation`, if there is one, chooses the checkpoint, else the last one is kept. The
    finished adapter appears at `adapter_folder` in one rename, so a folder of that name is always whole.

    Parameters
    ----------
    model, processor
        The loaded base.
    augmented : Augmented
        How training cases are shown.
    members : sequence of Path
        Finished adapters of other seeds, which the folder holds too when it appears.
    on_log : callable, optional
        (step, figures), called on the first rank with every line of the log as it is made.

    Returns
    -------
    The trained model, in evaluation mode.
    """
    set_seed(recipe.seed)
    presentation = augmented.presentation
    projector = projector_names(model, recipe.patterns) if "projector" in recipe.parts else []
    model = make_trainable(model, recipe.patterns, recipe.parts, recipe.method, recipe.lora)
    examples = Examples.of(processor, presentation, train, soft=recipe.mixup > 0 or recipe.teacher)
    step_cases = recipe.batch_size * recipe.gradient_accumulation * n_processes()
    draws = TrainingDraws(
        list(train.X),
        train.ids,
        [examples.answer_map.answer_of(label) for label in train.y],
        augmented,
        n_draws=recipe.steps * step_cases,
        seed=recipe.seed,
        step=step_cases if step_cases > recipe.batch_size else 1,  # one batch is padded to its longest in any order
        mixup=recipe.mixup,
        mixed=recipe.mixed,
    )
    checkpoints = checkpoints_beside(adapter_folder)
    checkpoint = last_whole_checkpoint(checkpoints)
    stage = zero_stage(recipe.deepspeed) if recipe.deepspeed else None
    arguments = _arguments(recipe, checkpoints, checkpoint, validates=validation is not None)
    watch = Stopwatch(checkpoint)
    if recipe.teacher and stage == 3:
        log.warning("trained without the teacher: under ZeRO-3 no process holds a whole tower")
    loss = AnswerLoss(recipe.label_smoothing, examples.soft)
    if recipe.teacher and stage != 3 and presentation.builder.n_pictures:
        loss.teacher = TowerTeacher.of(
            model,
            processor,
            draws,
            examples.answer_map.answers,
            checkpoints,
            projector=projector_names(base_of(model), recipe.patterns),
            batch_size=recipe.eval_batch_size,
            precision=recipe.precision,
            first=arguments.main_process_first(local=False, desc="teacher"),
        ).shares

    def validate() -> dict[str, float]:
        assert validation is not None
        asked = ask(
            model,
            processor,
            [presentation.show(case) for case in validation.X],
            examples.answer_map.answers,
            batch_size=recipe.eval_batch_size,
            precision=recipe.precision,
            progress="validation" if progress else None,
        )
        return _validation_figures(asked.probabilities, validation, trainer.state.log_history)

    trainer = AnswerTrainer(
        model=model,
        args=arguments,
        answer_loss=loss,
        train_dataset=draws,
        eval_dataset=[] if validation is not None else None,
        data_collator=examples.collate,
        processing_class=processor.tokenizer,
        validate=validate if validation is not None else None,
        projector=projector,
        projector_learning_rate=recipe.projector_learning_rate,
        on_checkpoint=watch.note,
        callbacks=[Finite(), ProgressLines(progress), *([Curves(on_log)] if on_log else [])],
    )
    trainer.remove_callback(PrinterCallback)
    n_seen = _PREFLIGHT_CASES_ZERO_3 if stage == 3 else _PREFLIGHT_CASES
    _preflight(model, processor, draws, examples.tokens, recipe.precision, n_seen)
    with full_disk_named(adapter_folder.parent):
        if trainer.is_world_process_zero():
            note_batches(checkpoints, Batches(step_cases, recipe.steps, stage))
        with last_layer_of(model) as loss.last_layer:
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        part = adapter_folder.with_name(adapter_folder.name + ".part")
        if trainer.is_world_process_zero():
            shutil.rmtree(part, ignore_errors=True)
        trainer.save_model(str(part))  # on every rank: under ZeRO-3 each holds a piece; the first alone writes
        if trainer.is_world_process_zero():
            lengths = train.lengths.tolist()
            training: dict[str, Any] = {"method": recipe.method, "steps": recipe.steps, "augment": augmented.strength}
            training |= {"mixup": recipe.mixup, "mixed": recipe.mixed if recipe.mixup else 0.0}
            training |= {"teacher": "none" if loss.teacher is None else "tower"}
            training |= {"seconds": round(watch.seconds, 1)}
            training |= {"n_channels": train.n_channels, "lengths": [min(lengths), max(lengths)]}
            for i, member in enumerate(members, start=1):
                shutil.copytree(member, part / f"{MEMBER}{i}")
            _finish(part, trainer, processor, presentation, adapter_folder, recipe, training)
            shutil.rmtree(checkpoints, ignore_errors=True)
    if recipe.deepspeed is not None:
        unset_hf_deepspeed_config()  # or the base that evaluation loads on one rank waits to be parted among all
    return model.eval()


def _arguments(recipe: Recipe, checkpoints: Path, checkpoint: Path | None, *, validates: bool) -> TrainingArguments:
    """The Trainer's, with checkpoints in `checkpoints`, to go on from `checkpoint` if there is one."""
    settings = recipe.deepspeed
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup_ratio,
        weight_decay=0.01,
        bf16=recipe.precision == torch.bfloat16,
        activation_checkpointing=recipe.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},  # the other way needs inputs that want a gradient
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
        logging_steps=10,
        logging_nan_inf_filter=False,  # it would log the mean of the steps before in the place of a loss that is none
        save_steps=recipe.checkpoint_steps,
        save_total_limit=2,
        eval_strategy="steps" if validates else "no",
        eval_steps=recipe.checkpoint_steps,
        load_best_model_at_end=validates,
        metric_for_best_model="eval_score",
        greater_is_better=True,
        report_to=[],  # `on_log` tells the trackers: theirs of Hugging Face name the same figure differently
        deepspeed=settings and deepspeed_for(checkpoint, n_processes(), settings, is_first=is_first()),
        remove_unused_columns=False,
        disable_tqdm=True,  # our own lines are shorter
    )
    if n_processes() == 1:
        arguments._n_gpu = min(arguments.n_gpu, 1)  # several without a launcher: Trainer would take DataParallel
    return arguments


def _preflight(
    model: Any,
    processor: Any,
    draws: TrainingDraws,
    tokens: Callable[[Draw], Sequence[int]],
    precision: torch.dtype,
    n_seen: int,
) -> None:
    """Both checks, the second, for which the model is asked, on `n_seen` cases."""
    examples = [draws[i] for i in range(min(_PREFLIGHT_CASES, len(draws)))]
    check_supervision(processor, examples, [tokens(example) for example in examples])
    model.eval()
    with attention_with_masks(model):  # under ZeRO-3 it waits on the CPU, for which FlashAttention has no kernel
        check_sees_picture(model, processor, examples[:n_seen], precision)
    model.train()


def _validation_figures(
    probabilities: np.ndarray, validation: SeriesSet, before: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Accuracy, log-loss, and `score`, which orders checkpoints: the last one that is as good as the best is kept.

    As good is: no more than a standard error below (Breiman et al. 1984, sec. 3.4.3). The best of ten accuracies on
    forty cases is the luckiest one, and mostly of the middle of the training, when the learning rate was still high.

    Parameters
    ----------
    before : sequence of mappings
        The log so far; lines of earlier validations have an "eval_accuracy".
    """
    truth = np.array([validation.class_names.index(label) for label in validation.y])
    accuracy = float((probabilities.argmax(1) == truth).mean())
    log_loss = float(-np.log(probabilities[np.arange(len(truth)), truth].clip(1e-12)).mean())
    earlier = [line["eval_accuracy"] for line in before if "eval_accuracy" in line]
    best = max([accuracy, *earlier])
    good = accuracy >= best - (best * (1 - best) / len(truth)) ** 0.5
    return {"accuracy": accuracy, "log_loss": log_loss, "score": len(earlier) + 1.0 if good else 0.0}


def _finish(
    part: Path,
    trainer: AnswerTrainer,
    processor: Any,
    presentation: Presentation,
    adapter_folder: Path,
    recipe: Recipe,
    training: dict[str, Any],
) -> None:
    """Complete the folder of saved weights; with `method: full` it is a whole checkpoint."""
    name_base(part, recipe.base)
    if recipe.method == "full":
        processor.save_pretrained(part)
    (part / "training_args.bin").unlink(missing_ok=True)  # a pickle; config.yaml of the run says the same
    quantisation = quantisation_of(recipe.method, recipe.patterns)
    if quantisation is not None:
        training["quantised"] = quantisation.to_dict()
    write_adapter_facts(part, presentation, recipe.base, recipe.base_folder, **training)
    (part / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in trainer.state.log_history))
    shutil.rmtree(adapter_folder, ignore_errors=True)
    os.replace(part, adapter_folder)
