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
from vlm_tsc.answer.batch import answer_trie, class_weights, encode_examples, supervised_tokens
from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.bases import Part
from vlm_tsc.conversation.augmented import Augmented
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.files import full_disk_named
from vlm_tsc.finetune.adapter import MEMBER, name_base, write_adapter_facts
from vlm_tsc.finetune.answer_loss import AnswerLoss
from vlm_tsc.finetune.checkpoints import Stopwatch, checkpoints_beside, last_whole_checkpoint
from vlm_tsc.finetune.draws import Draw, TrainingDraws
from vlm_tsc.finetune.last_layer import last_layer_of
from vlm_tsc.finetune.parts import base_of, make_trainable, projector_names, quantisation_of
from vlm_tsc.finetune.plan import zero_stage
from vlm_tsc.finetune.preflight import check_sees_picture, check_supervision
from vlm_tsc.finetune.progress import Curves, Finite, OnLog, ProgressLines
from vlm_tsc.finetune.ranks import Batches, deepspeed_for, note_batches
from vlm_tsc.finetune.soft_answers import SoftAnswers
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
    *,
    base: str,
    base_folder: Path,
    patterns: Mapping[Part, str],
    parts: Sequence[Part],
    method: str,
    lora: Mapping[str, Any],
    steps: int,
    batch_size: int,
    eval_batch_size: int,
    learning_rate: float,
    projector_learning_rate: float | None,
    warmup_ratio: float,
    gradient_accumulation: int,
    label_smoothing: float,
    precision: torch.dtype,
    seed: int,
    checkpoint_steps: int,
    mixup: float = 0.0,
    teacher: bool = False,
    gradient_checkpointing: bool = False,
    deepspeed: Path | None = None,
    members: Sequence[Path] = (),
    on_log: OnLog | None = None,
    progress: bool = True,
) -> Any:
    """Train until `steps`, from the newest whole checkpoint beside `adapter_folder` if there is one.

    Only `train` is learned from; `validation`, if there is one, chooses the checkpoint, else the last one is kept. The
    finished adapter appears at `adapter_folder` in one rename, so a folder of that name is always whole.

    Parameters
    ----------
    members : sequence of Path
        Finished adapters of other seeds, which the folder holds too when it appears.
    on_log : callable, optional
        (step, figures), called on the first rank with every line of the log as it is made.

    Returns
    -------
    The trained model, in evaluation mode.
    """
    set_seed(seed)
    presentation = augmented.presentation
    projector = projector_names(model, patterns) if "projector" in parts else []
    model = make_trainable(model, patterns, parts, method, lora)
    answers = presentation.builder.answer_map
    lead = presentation.builder.lead(train.X[0])
    trie = answer_trie(processor, presentation.question(train.X[0]), answers.answers, lead)
    of_class = dict(zip(answers.answers, trie.answers, strict=True))
    step_cases = batch_size * gradient_accumulation * n_processes()
    draws = TrainingDraws(
        list(train.X),
        train.ids,
        [answers.answer_of(label) for label in train.y],
        augmented,
        n_draws=steps * step_cases,
        seed=seed,
        step=step_cases if step_cases > batch_size else 1,  # one batch is padded to its longest in whatever order
        mixup=mixup,
    )
    checkpoints = checkpoints_beside(adapter_folder)
    checkpoint = last_whole_checkpoint(checkpoints)
    stage = zero_stage(deepspeed) if deepspeed else None
    watch = Stopwatch(checkpoint)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=gradient_accumulation,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup_ratio,
        weight_decay=0.01,
        bf16=precision == torch.bfloat16,
        activation_checkpointing=gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},  # the other way needs inputs that want a gradient
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        logging_steps=10,
        logging_nan_inf_filter=False,  # it would log the mean of the steps before in the place of a loss that is none
        save_steps=checkpoint_steps,
        save_total_limit=2,
        eval_strategy="steps" if validation is not None else "no",
        eval_steps=checkpoint_steps,
        load_best_model_at_end=validation is not None,
        metric_for_best_model="eval_score",
        greater_is_better=True,
        report_to=[],  # `on_log` tells the trackers: theirs of Hugging Face name the same figure differently
        deepspeed=deepspeed and deepspeed_for(checkpoint, n_processes(), deepspeed, is_first=is_first()),
        remove_unused_columns=False,
        disable_tqdm=True,  # our own lines are shorter
    )

    watch.start()
    soft = SoftAnswers(trie.answers) if mixup > 0 or teacher else None
    if teacher and stage == 3:
        log.warning("trained without the teacher: under ZeRO-3 no process holds a whole tower")
    teach = None
    if teacher and stage != 3 and presentation.builder.n_pictures:
        teach = TowerTeacher.of(
            model,
            processor,
            draws,
            answers.answers,
            checkpoints,
            projector=projector_names(base_of(model), patterns),
            batch_size=eval_batch_size,
            precision=precision,
            first=arguments.main_process_first(local=False, desc="teacher"),
        ).teach

    loss = AnswerLoss(label_smoothing, soft, teach)

    def tokens(one: Draw) -> list[int]:
        return supervised_tokens(processor, one.shown, one.answer, of_class[one.answer])

    def collate(examples: list[Draw]) -> dict[str, Any]:
        made = encode_examples(processor, [one.shown for one in examples], [tokens(one) for one in examples])
        classes = [of_class[one.answer] for one in examples]
        if lead:
            made["weights"] = class_weights(made["labels"], [len(ids) for ids in classes])
        if soft is not None:
            made["own"] = torch.tensor([answers.answers.index(one.answer) for one in examples])
            made["shares"] = torch.tensor([one.shares(answers.answers) for one in examples])
        return made

    def validate() -> dict[str, float]:
        assert validation is not None
        shown = [presentation.show(case) for case in validation.X]
        label = "validation" if progress else None
        asked = ask(
            model, processor, shown, answers.answers, batch_size=eval_batch_size, precision=precision, progress=label
        )
        return _validation_figures(asked.probabilities, validation, trainer.state.log_history)

    trainer = AnswerTrainer(
        model=model,
        args=arguments,
        answer_loss=loss,
        train_dataset=draws,
        eval_dataset=[] if validation is not None else None,
        data_collator=collate,
        processing_class=processor.tokenizer,
        validate=validate if validation is not None else None,
        projector=projector,
        projector_learning_rate=projector_learning_rate,
        on_checkpoint=watch.note,
        callbacks=[Finite(), ProgressLines(progress), *([Curves(on_log)] if on_log else [])],
    )
    trainer.remove_callback(PrinterCallback)
    n_seen = _PREFLIGHT_CASES_ZERO_3 if stage == 3 else _PREFLIGHT_CASES
    _preflight(model, processor, draws, tokens, precision, n_seen)
    with full_disk_named(adapter_folder.parent):
        if trainer.is_world_process_zero():
            note_batches(checkpoints, Batches(step_cases, steps, stage))
        with last_layer_of(model) as loss.last_layer:
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        part = adapter_folder.with_name(adapter_folder.name + ".part")
        if trainer.is_world_process_zero():
            shutil.rmtree(part, ignore_errors=True)
        trainer.save_model(str(part))  # on every rank: under ZeRO-3 each holds a piece; the first alone writes
        if trainer.is_world_process_zero():
            quantisation = quantisation_of(method, patterns)
            training: dict[str, Any] = {"method": method, "steps": steps, "augment": augmented.strength}
            training |= {"mixup": mixup, "teacher": "none" if teach is None else "tower"}
            training["seconds"] = round(watch.seconds, 1)
            if quantisation is not None:
                training["quantised"] = quantisation.to_dict()
            lengths = train.lengths.tolist()
            training |= {"n_channels": train.n_channels, "lengths": [min(lengths), max(lengths)]}
            whole = processor if method == "full" else None
            for i, member in enumerate(members, start=1):
                shutil.copytree(member, part / f"{MEMBER}{i}")
            _finish(part, trainer, whole, presentation, adapter_folder, base, base_folder, **training)
            shutil.rmtree(checkpoints, ignore_errors=True)
    if deepspeed is not None:
        unset_hf_deepspeed_config()  # or the base that evaluation loads on one rank waits to be parted among all
    return model.eval()


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
    base: str,
    base_folder: Path,
    **training: Any,
) -> None:
    """Complete the folder of saved weights; with a processor it is a whole checkpoint, for `method: full`."""
    name_base(part, base)
    if processor is not None:
        processor.save_pretrained(part)
    (part / "training_args.bin").unlink(missing_ok=True)  # a pickle; config.yaml of the run says the same
    write_adapter_facts(part, presentation, base, base_folder, **training)
    (part / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in trainer.state.log_history))
    shutil.rmtree(adapter_folder, ignore_errors=True)
    os.replace(part, adapter_folder)
