"""Where settings become plain arguments: one fine-tuning, from a base's folder to a finished adapter folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vlm_tsc.answer.attention import use_attention_for_training
from vlm_tsc.answer.model import be_quiet, choose_precision, device, load_model, use_all_cores
from vlm_tsc.archive.splits import Splits
from vlm_tsc.bases import BaseConfig
from vlm_tsc.conversation.augmented import augmented_within
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.fit import fit_adapter
from vlm_tsc.finetune.mixup import MIXED
from vlm_tsc.finetune.parts import quantisation_of
from vlm_tsc.finetune.plan import (
    choose_batches,
    choose_micro_batch,
    give_back_memory,
    one_rank_without_a_launcher,
    zero_stage,
)
from vlm_tsc.finetune.progress import OnLog
from vlm_tsc.finetune.ranks import share
from vlm_tsc.finetune.recipe import Recipe
from vlm_tsc.finetune.steps import augmentation_shares
from vlm_tsc.launcher import n_processes
from vlm_tsc.settings import Settings
from vlm_tsc.terminal import is_first, working

_MOST_CHECKPOINTS = 10


def finetune_with(
    settings: Settings,
    base: BaseConfig,
    base_folder: Path,
    splits: Splits,
    presentation: Presentation,
    adapter_folder: Path,
    *,
    seed: int,
    on_log: OnLog | None = None,
    progress: bool = False,
) -> None:
    """Train on `splits.train`, choose by `splits.validation`, and leave a finished adapter folder.

    Of an ensemble, the adapters after the first are trained before it and lie in its folder. The test part is never
    touched.
    """
    waiting = adapter_folder.parent / "members"
    # each in a folder of its own: beside an adapter are its checkpoints, and no other training may go on from them
    members = [waiting / str(k) / "adapter" for k in range(1, settings.ensemble)]
    train = partial(_train, settings, base, base_folder, splits, presentation, progress=progress)
    for k, member in enumerate(members, start=1):
        if not member.exists():
            train(member, seed=seed_of(seed, k))
    train(adapter_folder, seed=seed, members=members, on_log=on_log)
    give_back_memory()  # the next to open a model may be an evaluation, which measures nothing
    if is_first():
        shutil.rmtree(waiting, ignore_errors=True)


def seed_of(seed: int, member: int) -> int:
    """The seed of an ensemble's member; the first has the run's own."""
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0]) if member else seed


def _train(
    settings: Settings,
    base: BaseConfig,
    base_folder: Path,
    splits: Splits,
    presentation: Presentation,
    adapter_folder: Path,
    *,
    seed: int,
    progress: bool,
    members: Sequence[Path] = (),
    on_log: OnLog | None = None,
) -> None:
    """One adapter, with the finished `members` of its ensemble in its folder."""
    be_quiet()
    use_all_cores()
    precision = choose_precision(settings.precision)
    stage = zero_stage(settings.deepspeed)
    quantisation = quantisation_of(settings.method, base.lora_targets)
    if quantisation is not None and stage == 3:
        raise InputError(
            "ZeRO-3 parts every weight among the ranks, and quantised ones cannot be parted.",
            where="--deepspeed, --method",
            got=f"{settings.deepspeed}, {settings.method}",
            fix="--deepspeed configs/deepspeed/zero2.json, or --method lora",
        )
    batches = choose_batches(settings, base, splits.train.n_cases, adapter_folder)
    cases = share(batches.cases, n_processes())
    n_draws = batches.steps * batches.cases
    strength, mixtures = augmentation_shares(splits.train.n_cases, n_draws, base.full_augmentation)
    micro_batch = choose_micro_batch(settings, base, base_folder, splits, presentation, cases)
    weights = torch.float32 if settings.method == "full" else precision  # trained weights are in float32
    with working(f"loading {settings.base}") if progress else nullcontext():
        model, processor = load_model(base_folder, weights, quantisation)
    assert settings.batch_size is not None and settings.context_length is not None  # the base's YAML has them
    assert settings.trainable is not None and settings.learning_rate is not None
    recipe = Recipe(
        base=settings.base,
        base_folder=base_folder,
        patterns=base.lora_targets,
        parts=settings.trainable,
        method=settings.method,
        lora={"r": settings.lora_r, "alpha": settings.lora_alpha, "dropout": settings.lora_dropout},
        steps=batches.steps,
        batch_size=micro_batch,
        eval_batch_size=settings.eval_batch_size or settings.batch_size,
        learning_rate=settings.learning_rate,
        projector_learning_rate=settings.projector_learning_rate,
        warmup_ratio=settings.warmup_ratio,
        gradient_accumulation=cases // micro_batch,
        label_smoothing=settings.label_smoothing,
        mixup=settings.mixup if settings.mixup and settings.augment else 0.0,
        mixed=MIXED * mixtures,
        teacher=settings.teacher == "tower",
        precision=precision,
        seed=seed,
        checkpoint_steps=settings.checkpoint_steps or max(20, -(-batches.steps // _MOST_CHECKPOINTS)),
        gradient_checkpointing=settings.gradient_checkpointing,
        deepspeed=settings.deepspeed,
    )
    use_attention_for_training(model, precision)
    if stage != 3:  # there, no device need hold all of it
        model = model.to(device())
    with one_rank_without_a_launcher(settings.deepspeed):
        fit_adapter(
            model,
            processor,
            splits.train,
            splits.validation,
            augmented_within(
                presentation,
                processor,
                settings.context_length,
                strength=(settings.augment or 0.0) * strength,
                seed=seed,
            ),
            adapter_folder,
            recipe,
            members=members,
            on_log=on_log,
            progress=progress,
        )
