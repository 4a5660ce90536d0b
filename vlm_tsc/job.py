"""The main job: settings → data → adapter → metrics. Each step is skipped when its finished output is here."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

from vlm_tsc.archive import Splits, load
from vlm_tsc.bases import load_base
from vlm_tsc.config import Settings, load_settings, resolved_yaml
from vlm_tsc.conversation.cards import load_card
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.records import read_records
from vlm_tsc.errors import InputError
from vlm_tsc.files import write_json, write_text
from vlm_tsc.manifest import begin_stage, check_stage, commit, data_hash, finish_stage, read_manifest
from vlm_tsc.run import (
    RunFolder,
    data_settings,
    peak_gpu_memory_mb,
    peak_memory_mb,
    presentation_settings,
    run_folder,
    shown_settings,
    training_settings,
    view_settings,
)
from vlm_tsc.terminal import is_first, shows_progress, working

log = logging.getLogger(__name__)

_WAIT_SECONDS = 3600  # that other ranks wait for the first to write the data, and then to begin the training


def load_splits(settings: Settings, seed: int) -> Splits:
    """The series of a run."""
    assert settings.dataset is not None
    with working(f"reading {settings.dataset}"):
        return load(
            settings.dataset,
            data_dir=settings.data_dir,
            test=settings.test,
            split=settings.split,
            missing=settings.missing,
            lengths=settings.lengths,
            seed=seed,
        )


def searched(settings: Settings, seed: int, splits: Splits) -> Settings:
    """The settings of this seed's run: as they are, or, with `--search`, with the chosen ones in them."""
    if settings.search is None:
        return settings
    from vlm_tsc.evaluate.search_llava import search_settings

    return search_settings(settings, run_folder(settings, splits.train.name, seed), splits, seed)


def prepare(settings: Settings, seed: int, splits: Splits | None = None) -> RunFolder:
    """Write the run folder's series, pictures and conversations, unless they are there already."""
    from vlm_tsc.conversation.prepare import choose_presentation, expected_hash, write_data
    from vlm_tsc.conversation.processor import checkpoint_folder, load_processor
    from vlm_tsc.conversation.writers import write_as

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    splits = splits or load_splits(settings, seed)
    run = run_folder(settings, splits.train.name, seed)
    base = load_base(settings.base, settings.llava_root)
    processor = load_processor(checkpoint_folder(base, settings.llava_root))
    card = load_card(splits.train.name)
    expected = expected_hash(data_settings(settings) | {"seed": seed}, splits, processor, card)
    if not is_first():
        _wait_for_data(run, expected)
        return run
    prepared = choose_presentation(splits, processor, base, card, **presentation_settings(settings))
    write_data(run, splits, prepared, expected, workers=settings.workers, progress=shows_progress())
    write_text(run.config, resolved_yaml(settings.model_copy(update={"seed": seed, "seeds": None})))
    if settings.formats:
        parts = {path.stem: read_records(path) for path in (run.train, run.validation, run.test) if path.exists()}
        for name in settings.formats:
            write_as(name, parts, run.path / name)
    return run


def finetune(settings: Settings, run: RunFolder, seed: int) -> None:
    """Train the run's adapter, from its newest checkpoint if it was interrupted, unless it is finished."""
    from vlm_tsc.answer.model import be_quiet

    be_quiet()
    from vlm_tsc.archive.store import read_splits
    from vlm_tsc.conversation.processor import checkpoint_folder
    from vlm_tsc.finetune.adapter import base_hash
    from vlm_tsc.finetune.session import finetune_with
    from vlm_tsc.tracking import live

    base = load_base(settings.base, settings.llava_root)
    base_folder = checkpoint_folder(base, settings.llava_root)
    expected = _training_hash(settings, run, seed, base_hash(base_folder))
    state = check_stage(run, "training", expected, [run.adapter])
    if state == "done":
        return
    if state == "partial" and settings.resume and run.adapter.exists():
        # killed after the adapter appeared, whole, in one rename, and before that was noted
        if is_first():
            _forget_progress(run)
            finish_stage(run, "training", expected)
        return
    if is_first():
        if not settings.resume:
            _forget_progress(run)
        made = [run.adapter, run.checkpoints, run.members, run.predictions, run.metrics, run.report, run.explanations]
        begin_stage(run, "training", expected, [*made, run.tracking, run.tensorboard])
    else:
        _wait_for_beginning(run, expected, anew=not settings.resume)
    splits = read_splits(run.series)
    with live(settings.report_to if is_first() else (), run) as on_log:
        finetune_with(
            settings,
            base,
            base_folder,
            splits,
            presentation_of(run),
            run.adapter,
            seed=seed,
            on_log=on_log,
            progress=shows_progress(),
        )
    if is_first():
        finish_stage(run, "training", expected)


def _forget_progress(run: RunFolder) -> None:
    """Remove what an interrupted training would go on from."""
    for folder in (run.checkpoints, run.members):
        shutil.rmtree(folder, ignore_errors=True)


def evaluate(settings: Settings, run: RunFolder, seed: int) -> dict[str, Any]:
    """Answer the run's test records and write predictions.jsonl and metrics.json, unless they are there."""
    from vlm_tsc.answer.model import be_quiet, choose_precision, device, device_name, use_all_cores

    be_quiet()
    from vlm_tsc.archive.store import read_splits
    from vlm_tsc.conversation.augmented import more_views
    from vlm_tsc.conversation.processor import checkpoint_folder
    from vlm_tsc.evaluate.evaluation import evaluate_records
    from vlm_tsc.evaluate.metrics import metrics_document, read_metrics
    from vlm_tsc.evaluate.predictions import write_predictions
    from vlm_tsc.finetune.adapter import load_finished

    manifest = read_manifest(run)
    if manifest is None or "training" not in manifest.finished:
        raise InputError("This run has no finished adapter.", where=run.path, fix="run train.py (again) to finish it")
    how = {"answers": settings.answers, "views": settings.views}
    expected = data_hash(how | {"training": manifest.finished["training"]})
    outputs = [run.predictions, run.metrics]
    if check_stage(run, "evaluation", expected, outputs) == "done":
        return read_metrics(run.metrics)
    begin_stage(run, "evaluation", expected, [*outputs, run.report])
    _note_settings(run, **how)
    use_all_cores()
    presentation = presentation_of(run)
    answer_map = presentation.builder.answer_map
    explained = presentation.builder.is_explained
    records = read_records(run.test, answers=answer_map.answers, explained=explained, images_in=run.path)
    base = load_base(settings.base, settings.llava_root)
    precision = choose_precision(settings.precision)
    with working(f"loading {settings.base}"):
        model, processor, facts = load_finished(run.adapter, checkpoint_folder(base, settings.llava_root), precision)
    cases = read_splits(run.series).test
    views = view_settings(settings, seed, facts["augment"])
    evaluated = evaluate_records(
        model.to(device()),
        processor,
        records,
        run.path,
        answer_map,
        batch_size=settings.eval_batch_size or 8,
        precision=precision,
        more_views=more_views(cases.X, cases.ids, presentation, processor, **views),
        progress=shows_progress(),
    )
    counts = {part: sum(by_class.values()) for part, by_class in manifest.counts.items()}
    document = metrics_document(
        evaluated.predictions,
        answer_map.class_names,
        classifier="llava",
        dataset=run.path.parent.name,
        split=manifest.details["split"],
        seed=seed,
        commit=commit(),
        n_train=counts["train"],
        n_validation=counts.get("validation", 0),
        base=settings.base,
        data_repr=settings.data_repr,
        **how,
        ensemble=settings.ensemble,
        blank=evaluated.blank,
        train_seconds=facts["seconds"],
        predict_seconds=round(evaluated.seconds, 1),
        peak_memory_mb=round(peak_memory_mb(), 1),
        peak_gpu_memory_mb=peak_gpu_memory_mb(),
        device=device_name(),
    )
    write_predictions(run.predictions, evaluated.predictions)
    write_json(run.metrics, document)
    finish_stage(run, "evaluation", expected)
    return document


def _note_settings(run: RunFolder, **changed: Any) -> None:
    """Write what a later command changed into config.yaml: the report's command and `predict` go by it."""
    settings = load_settings(run.config)
    if any(getattr(settings, name) != value for name, value in changed.items()):
        write_text(run.config, resolved_yaml(settings.model_copy(update=changed)))


def baseline_notes(settings: Settings, splits: Splits) -> list[str]:
    """Run the baselines on the same split; returns what to say of those that would take too long.

    Those of every run are run once, and where they are cheap; what was named beyond them is run for every seed, on the
    validation part that this seed draws. `splits` is any seed's.
    """
    from vlm_tsc.classify.classical import BASELINES
    from vlm_tsc.evaluate.baseline import LIMIT_S, OPTIONS, NotRun
    from vlm_tsc.evaluate.trained import run_named

    given = {key: getattr(settings, key) for key in OPTIONS}
    several = splits.validation is not None and len(settings.seeds or ()) > 1  # the same series, but drawn otherwise
    made = []
    for name in settings.baselines:
        cheap = name in BASELINES
        for seed in (0,) if cheap else settings.seeds or (settings.seed,):
            limit_s = LIMIT_S if cheap else None
            made.append(
                run_named(
                    name,
                    splits if cheap or not several else load_splits(settings, seed),
                    settings.vlm_root / "runs",
                    seed=seed,
                    given=given,
                    limit_s=limit_s,
                    base=settings.base,
                    shown=shown_settings(settings),
                )
            )
    return [str(one) for one in made if isinstance(one, NotRun)]


def presentation_of(run: RunFolder) -> Presentation:
    """How this run shows its cases, from its manifest."""
    manifest = read_manifest(run)
    if manifest is None or "presentation" not in manifest.details:
        raise InputError("This run has no finished data.", where=run.path, fix="run dataset.py or train.py first")
    return Presentation.from_dict(manifest.details["presentation"])


def _training_hash(settings: Settings, run: RunFolder, seed: int, base: str) -> str:
    manifest = read_manifest(run)
    if manifest is None or "data" not in manifest.finished:
        raise InputError("This run has no finished data.", where=run.path, fix="run dataset.py or train.py first")
    values = training_settings(settings) | {"seed": seed, "data": manifest.finished["data"], "base_hash": base}
    return data_hash(values)


def _wait_for_data(run: RunFolder, expected: str) -> None:
    def finished() -> bool:
        manifest = read_manifest(run)
        return manifest is not None and manifest.finished.get("data") == expected

    _wait(run, finished, "The first rank did not finish the data.")


def _wait_for_beginning(run: RunFolder, expected: str, *, anew: bool) -> None:
    """Until the first rank has removed what this training must not go on from.

    It notes the hash only after that, so an old note is of the same hash, whose progress may stay; unless all begin
    `anew`: then the progress itself must be gone. New progress cannot come meanwhile, because nothing whole is written
    before every rank trains. (No launcher's word tells two launches apart: DeepSpeed's port is always the same.)
    """
    from vlm_tsc.finetune.checkpoints import has_progress

    def begun() -> bool:
        manifest = read_manifest(run)
        noted = manifest is not None and manifest.started.get("training") == expected
        return noted and not (anew and has_progress(run.checkpoints, run.members))

    _wait(run, begun, "The first rank did not begin the training.")


def _wait(run: RunFolder, ready: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.5)
    raise InputError(otherwise, where=run.path, got=f"{_WAIT_SECONDS} s without it")
