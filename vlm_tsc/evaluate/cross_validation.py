"""Accuracy inside the training split: what settings are chosen by, so that the test split stays unread."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits, official
from vlm_tsc.bases import load_base
from vlm_tsc.conversation.cards import load_card
from vlm_tsc.errors import InputError
from vlm_tsc.run import presentation_settings, view_settings
from vlm_tsc.settings import Settings
from vlm_tsc.terminal import shows_progress


@dataclass(frozen=True)
class Fold:
    """What one fold gave: right answers and mean -log p of the held-out cases, seconds of training and answering."""

    n_train: int
    n_held_out: int
    accuracy: float
    log_loss: float
    seconds: float


def cross_validate(settings: Settings, train: SeriesSet, n_folds: int, seed: int) -> Iterator[Fold]:
    """Fine-tune on all of `folds_of` but one and answer that one, for every fold; yields them as they are done."""
    for others, held_out in folds_of(train, n_folds, seed):
        yield one_fold(settings, others, held_out, seed)


def folds_of(train: SeriesSet, n_folds: int, seed: int) -> list[tuple[SeriesSet, SeriesSet]]:
    """Stratified folds, each as all other cases and its own.

    Parameters
    ----------
    train : SeriesSet
        All training cases, those that a run would hold out for validation included.

    Raises
    ------
    InputError
        When a class has fewer cases than there are folds.
    """
    least = min(train.counts.values())
    if not 2 <= n_folds <= least:
        raise InputError(
            "Each fold needs a case of every class.",
            where=f"K, the folds of {train.name}",
            got=n_folds,
            allowed=f"2 to {least}" if least >= 2 else "nothing: a class has a single case",
        )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(train.y)), train.y)
    return [(train.select(others), train.select(held_out)) for others, held_out in folds]


def one_fold(settings: Settings, cases: SeriesSet, held_out: SeriesSet, seed: int) -> Fold:
    """Fine-tune on `cases`, of which some may choose the checkpoint, and answer `held_out`."""
    from vlm_tsc.answer.ask import ask_views
    from vlm_tsc.answer.model import choose_precision, device
    from vlm_tsc.conversation.augmented import more_views
    from vlm_tsc.conversation.prepare import choose_presentation
    from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
    from vlm_tsc.finetune.adapter import load_finished
    from vlm_tsc.finetune.session import finetune_with

    base = load_base(settings.base, settings.llava_root)
    base_folder = checkpoint_folder(base, settings.llava_root)
    parts = official(cases.y, len(cases.y), seed)
    validation = None if parts.validation is None else cases.select(parts.validation)
    splits = Splits(cases.select(parts.train), validation, held_out, "fold")
    presentation = choose_presentation(
        splits, load_processor(base_folder), base, load_card(cases.name), **presentation_settings(settings)
    ).presentation
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        adapter, progress = Path(folder) / "adapter", shows_progress()
        finetune_with(settings, base, base_folder, splits, presentation, adapter, seed=seed, progress=progress)
        precision = choose_precision(settings.precision)
        model, processor, facts = load_finished(adapter, base_folder, precision)
    views = view_settings(settings, seed, facts["augment"])
    asked = ask_views(
        model.to(device()),
        processor,
        [
            [presentation.show(case) for case in held_out.X],
            *more_views(held_out.X, held_out.ids, presentation, processor, **views),
        ],
        presentation.builder.answer_map.answers,
        batch_size=settings.eval_batch_size or 8,
        precision=precision,
        progress="held out" if shows_progress() else None,
    )
    truth = np.array([held_out.class_names.index(label) for label in held_out.y])
    p = asked.probabilities
    return Fold(
        n_train=len(cases.y),
        n_held_out=len(truth),
        accuracy=float((p.argmax(1) == truth).mean()),
        log_loss=float(-np.log(p[np.arange(len(truth)), truth].clip(1e-12)).mean()),
        seconds=time.monotonic() - start,
    )
