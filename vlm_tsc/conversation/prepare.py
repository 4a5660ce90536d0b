"""Stage 1 to 3 together: a dataset becomes a run folder of pictures and conversations."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits
from vlm_tsc.archive.store import PARTS, write_splits
from vlm_tsc.bases import BaseConfig
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.budget import Budget, choose_factor
from vlm_tsc.conversation.cards import DatasetCard
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.processor import picture_size
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.conversation.rationale import with_lead
from vlm_tsc.conversation.records import Record, record, write_records
from vlm_tsc.conversation.writers import WRITERS
from vlm_tsc.files import write_bytes
from vlm_tsc.manifest import begin_stage, check_stage, data_hash, finish_stage
from vlm_tsc.representation.limits import choose_limits
from vlm_tsc.representation.png import png_bytes
from vlm_tsc.representation.styles import Style
from vlm_tsc.resources import resource_dir
from vlm_tsc.run import RunFolder
from vlm_tsc.terminal import bar

_FORMAT = 2  # raise it when drawing or wording changes, so that data of an older version counts as stale
_CASES_PER_TASK = 64
_SECONDS_TO_START = 1.0  # that a clean server process and its workers take to import what they need
_PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Prepared:
    """What a run shows its model, and how long that is."""

    presentation: Presentation
    budget: Budget


def choose_presentation(
    splits: Splits,
    processor: Any,
    base: BaseConfig,
    card: DatasetCard,
    *,
    data_repr: str,
    round_to: int,
    context_length: int,
    downsample: int | None,
    downsampling: str,
    pictures: tuple[Style, ...],
    limits: str,
    channels: Any,
    plot_downsampled_graph: bool,
) -> Prepared:
    """Choose what is left open, from the training part; only the token budget is measured over all cases.

    (A case's length is no information about its class that training could use: it must fit to be answered at all.)
    """
    size = picture_size(base, processor)
    answer_map = AnswerMap(splits.train.class_names)
    answer_map.check_tokenised(processor.tokenizer)
    builder = PromptBuilder(answer_map, card, data_repr, len(pictures), round_to, downsample or 1, downsampling)
    cases = [case for part in PARTS if (cases := getattr(splits, part)) for case in cases.X]
    budget = choose_factor(cases, builder, processor, context_length, downsample, picture_size=size)
    chosen = choose_limits(limits, list(splits.train.X))
    presentation = Presentation(
        builder=PromptBuilder(answer_map, card, data_repr, len(pictures), round_to, budget.factor, downsampling),
        size=size,
        limits=None if chosen is None else tuple((float(low), float(high)) for low, high in chosen),
        styles=pictures,
        channels=channels,
        plot_downsampled=plot_downsampled_graph,
    )
    return Prepared(presentation, budget)


def expected_hash(settings: dict[str, Any], splits: Splits, processor: Any, card: DatasetCard) -> str:
    """The hash of everything that determines a run's data: settings, series, split, wording, and the tokenizer."""
    parts: list[np.ndarray | str] = [splits.split, str(_FORMAT), repr(card), _prompts_digest()]
    parts.append(
        processor.tokenizer.backend_tokenizer.to_str() if hasattr(processor.tokenizer, "backend_tokenizer") else ""
    )
    parts.append(str(processor.chat_template))
    for part in PARTS:
        cases: SeriesSet | None = getattr(splits, part)
        if cases is not None:
            parts += [part, cases.y, " ".join(cases.ids), np.concatenate(list(cases.X), axis=1), cases.lengths]
    return data_hash(settings, parts)


def _prompts_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(resource_dir("prompts")).glob("*.j2")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def data_outputs(run: RunFolder) -> list[Path]:
    """Everything that the data stage writes, except for validation.json, which not every split has."""
    return [run.series, run.images, run.train, run.test]


def write_data(
    run: RunFolder, splits: Splits, prepared: Prepared, expected: str, *, workers: int | None, progress: bool
) -> None:
    """Write series, pictures and records; what an interrupted run with the same hash left is kept.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    outputs = [*data_outputs(run), run.validation, *(run.path / name for name in WRITERS)]
    state = check_stage(run, "data", expected, data_outputs(run))
    if state == "done":
        return
    begin_stage(run, "data", expected, outputs)
    run.images.mkdir(parents=True, exist_ok=True)
    write_splits(run.series, splits)
    tasks = list(_tasks(run, splits, prepared.presentation))
    drawn = _each(tasks, workers or _cores())
    written = bar(drawn, "pictures", total=len(tasks), unit=f"×{_CASES_PER_TASK}", shown=progress)
    records: dict[str, list[Record]] = {part: [] for part in PARTS}
    for (part, *_), made in zip(tasks, written, strict=True):
        records[part] += made
    for part in PARTS:
        if records[part]:
            write_records(getattr(run, part), records[part])
    finish_stage(
        run,
        "data",
        expected,
        data_hash=expected,
        counts={part: cases.counts for part in PARTS if (cases := getattr(splits, part))},
        details={
            "split": splits.split,
            "presentation": prepared.presentation.to_dict(),
            "tokens": {
                "min": prepared.budget.min_tokens,
                "max": prepared.budget.max_tokens,
                "image": prepared.budget.image_tokens,
            },
        },
    )


Task = tuple[str, Path, Presentation, list[np.ndarray], list[str], list[str]]


def _tasks(run: RunFolder, splits: Splits, presentation: Presentation) -> Iterator[Task]:
    for part in PARTS:
        cases: SeriesSet | None = getattr(splits, part)
        for start in range(0, cases.n_cases if cases else 0, _CASES_PER_TASK):
            chosen = slice(start, start + _CASES_PER_TASK)
            assert cases is not None
            yield part, run.path, presentation, list(cases.X[chosen]), list(cases.ids[chosen]), cases.y[chosen].tolist()


def _each(tasks: list[Task], workers: int) -> Iterator[list[Record]]:
    """Records of every task, in order: drawn here until it is clear that starting processes would save time."""
    for done, task in enumerate(tasks, start=1):
        start = time.monotonic()
        made = _draw_cases(task)
        ahead = (time.monotonic() - start) * (len(tasks) - done)
        yield made
        if ahead * (1 - 1 / workers) > _SECONDS_TO_START:
            yield from _in_processes(tasks[done:], workers)
            return


def _in_processes(tasks: list[Task], workers: int) -> Iterator[list[Record]]:
    # a clean server process: forking this one, with torch's and the tokenizer's threads in it, could dead-lock
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "matplotlib.backends.backend_agg"])  # the latter when a line is drawn
    with ProcessPoolExecutor(min(workers, len(tasks)), context) as pool:
        yield from pool.map(_draw_cases, tasks)


def _draw_cases(task: Task) -> list[Record]:
    _, folder, presentation, cases, ids, labels = task
    builder = presentation.builder
    made = []
    for case, id, label in zip(cases, ids, labels, strict=True):
        names = _write_pictures(folder, presentation, case, id)
        answer = with_lead(builder.lead(case), builder.answer_map.answer_of(label))
        made.append(record(id, names, builder.question(case), answer))
    return made


def _write_pictures(folder: Path, presentation: Presentation, case: np.ndarray, id: str) -> list[str]:
    names = [f"images/{id}.png" if i == 0 else f"images/{id}-{i}.png" for i in range(presentation.builder.n_pictures)]
    if not all(_is_whole(folder / name) for name in names):
        for name, picture in zip(names, presentation.pictures(case), strict=True):
            write_bytes(folder / name, png_bytes(picture), sync=False)
    return names


def _is_whole(path: Path) -> bool:
    """Whether a picture of the interrupted run is there to its last byte."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_PNG_END), os.SEEK_END)
            return file.read() == _PNG_END
    except OSError:
        return False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
