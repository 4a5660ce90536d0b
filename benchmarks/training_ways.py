"""Where the speed of fine-tuning comes from: every way on or off alone, with losses and held-out accuracy beside it."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import ways
from benchmarks.finetune import Job, job_on
from benchmarks.finetune_sides import fit_ours
from benchmarks.timing import Result, in_turn, own_clock, table

_HOW = (
    "fit_adapter on the training part of {dataset}, base {base} in {precision} on {device}, {threads} threads, "
    "{steps} steps of {batch} cases, pictures and their augmentation as they are by default; the last two rows on "
    "{uneven}, values in the text, steps of {parts} parts of {part} cases. Each row changes one thing; × is its speed "
    "against the row without a change above it. Speed without the first ten steps, in which a model compiles. `loss` "
    "is of the last ten steps, accuracy and log-loss are of {held_out} cases held out of the training part. Medians of "
    "{rounds} rounds, each with another seed; losses and accuracies are means. Features can be cached only where a "
    "picture comes again, so without augmentation. Grouping counts where a step has several parts."
)
_PLAIN, _UNEVEN = "as it is", "unequal, as it is"
_PARTS = 4  # of a step on cases of unequal lengths
ROUNDS, STEPS = 2, 100


@dataclass(frozen=True)
class Way:
    """One change to the training: of the loaded model, or around the whole."""

    change: Callable[[Any, Any], None] | None = None
    augments: bool = True
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    uneven: bool = False


@dataclass(frozen=True)
class Figures:
    """Of one training: seconds a case, last loss, and accuracy and log-loss of held-out cases, if there are any."""

    seconds: float
    loss: float
    accuracy: float
    log_loss: float


def _shuffled() -> AbstractContextManager[Any]:
    from unittest.mock import patch

    from vlm_tsc.finetune.draws import TrainingDraws

    return patch.object(TrainingDraws, "_grouped", lambda self, draw: draw)


def _whole_last_layer() -> AbstractContextManager[Any]:
    from unittest.mock import patch

    from vlm_tsc.finetune.last_layer import LastLayer

    return patch.multiple(LastLayer, hold=lambda self: None, release=lambda self: None)


WAYS: Mapping[str, Way] = {
    _PLAIN: Way(),
    "logits of every token": Way(ways.every_logit),
    "last layer of every token": Way(around=_whole_last_layer),
    "eager attention": Way(ways.eager_attention),
    "fused attention": Way(ways.fused_attention),
    "no augmentation": Way(augments=False),
    "no augmentation, features cached": Way(ways.cached_tower, augments=False),
    "image tokens merged, 4 to 1": Way(ways.merged_tokens),
    "image tokens dropped, 3 of 4": Way(ways.dropped_tokens),
    "compiled": Way(ways.compiled),
    _UNEVEN: Way(uneven=True),
    "unequal, not grouped": Way(around=_shuffled, uneven=True),
}


def run(quick: bool = False) -> Result:
    """Measure on OSULeaf, which aeon carries and which is large enough for held-out cases."""
    import torch

    from vlm_tsc.answer.model import be_quiet, use_all_cores

    be_quiet()
    use_all_cores()
    rounds, steps = (1, 20) if quick else (ROUNDS, STEPS)
    changes = {"batch_size": 4} if quick else {}
    with tempfile.TemporaryDirectory() as name:
        even, uneven = Path(name) / "even", Path(name) / "uneven"
        job = job_on(even, {"dataset": "OSULeaf", **changes}, steps)
        other = job_on(uneven, {**ways.UNEVEN, **changes}, steps)
        jobs = {False: job, True: replace(other, batch=max(1, other.batch // _PARTS))}
        found = measured(jobs, rounds)
    held_out = job.splits.validation
    how = _HOW.format(
        dataset="OSULeaf",
        base=ways.BASE,
        precision=str(job.precision).removeprefix("torch."),
        device="GPU" if torch.cuda.is_available() else "CPU",
        threads=torch.get_num_threads(),
        steps=steps,
        batch=job.batch,
        uneven=ways.UNEVEN["dataset"],
        parts=_PARTS,
        part=jobs[True].batch,
        held_out=held_out.n_cases,
        rounds=rounds,
    )
    rows = tuple((name, one) for name, of_way in found.items() for one in of_way if isinstance(one, Figures))
    return Result("where the speed of fine-tuning comes from", how, rows, shown(found))


def measured(jobs: Mapping[bool, Job], rounds: int) -> dict[str, list[Any]]:
    """Figures of every way in each round, or a text that says why there are none."""
    seeds = dict.fromkeys(WAYS, -1)

    def side(name: str, way: Way) -> Callable[[], Any]:
        def measure() -> Any:
            seeds[name] += 1
            if way.change is ways.compiled:
                return ways.why_not_compiled() or ways.attempted(lambda: train(jobs[way.uneven], way, seeds[name]))
            return train(jobs[way.uneven], way, seeds[name])

        return measure

    return in_turn({name: side(name, way) for name, way in WAYS.items()}, rounds)


def train(job: Job, way: Way, seed: int) -> Figures:
    """One training, and the answers to the held-out cases."""
    clock, marks = own_clock(), list[tuple[int, float, float]]()

    def on_log(step: int, figures: Mapping[str, float]) -> None:
        if "loss" in figures:
            marks.append((step, clock(), figures["loss"]))

    parts = _PARTS if way.uneven else 1
    strength = float(job.base.defaults["augment"]) if way.augments else 0.0
    with way.around(), tempfile.TemporaryDirectory() as folder:
        options = {"strength": strength, "seed": seed, "gradient_accumulation": parts, "on_log": on_log}
        model, processor = fit_ours(job, Path(folder), change=way.change, **options)
    (first, start, _), (last, end, loss) = marks[0], marks[-1]
    seconds = (end - start) / ((last - first) * job.batch * parts)
    return Figures(seconds, loss, *_held_out(job, model, processor))


def _held_out(job: Job, model: Any, processor: Any) -> tuple[float, float]:
    """Accuracy and log-loss; no numbers where the set is too small to hold cases out."""
    import numpy as np
    import torch

    from vlm_tsc.answer.ask import ask

    held_out = job.splits.validation
    if held_out is None:
        return float("nan"), float("nan")
    cases = [job.presentation.show(case) for case in held_out.X]
    answers = job.presentation.builder.answer_map.answers
    with torch.compiler.set_stance("force_eager"):  # or a compiled model would compile for what is not timed
        p = ask(model, processor, cases, answers, batch_size=64, precision=job.precision).probabilities
    truth = np.array([held_out.class_names.index(label) for label in held_out.y])
    return float((p.argmax(1) == truth).mean()), float(-np.log(p[np.arange(len(truth)), truth].clip(1e-12)).mean())


def shown(found: Mapping[str, Sequence[Any]]) -> str:
    """The table; below it, why a way was not measured."""
    rows, missing = [], []
    for name, of_way in found.items():
        figures = [one for one in of_way if isinstance(one, Figures)]
        if not figures:
            missing.append(f"{name}: {of_way[0]}")
            continue
        plain = _seconds(found[_UNEVEN if WAYS[name].uneven else _PLAIN])
        means = [statistics.mean(getattr(one, key) for one in figures) for key in ("loss", "accuracy", "log_loss")]
        cells = [f"{mean:.3f}" if mean == mean else "–" for mean in means]
        rows.append((name, f"{1 / _seconds(figures):,.1f}", f"{plain / _seconds(figures):.2f}x", *cells))
    headings = ("training", "cases/s", "×", "loss", "accuracy", "log-loss")
    return "\n".join([table(headings, rows), *missing])


def _seconds(figures: Sequence[Any]) -> float:
    return statistics.median(one.seconds for one in figures)
