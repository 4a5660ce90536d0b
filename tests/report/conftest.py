"""Finished runs without a model: data written by the data stage itself, answers by a seeded draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits
from vlm_tsc.config import resolved_yaml, settings_from
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.budget import Budget
from vlm_tsc.conversation.prepare import Prepared, write_data
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.evaluate import metrics_document, predictions_of, write_predictions
from vlm_tsc.files import write_json, write_text
from vlm_tsc.run import RunFolder

MakeRun = Callable[..., RunFolder]


def make_part(part: str, n_cases: int, class_names: tuple[str, ...], dataset: str) -> SeriesSet:
    rng = np.random.default_rng(n_cases)
    y = np.array(class_names)[np.arange(n_cases) % len(class_names)]
    X = np.sin(np.linspace(0, 6, 40) + np.arange(n_cases)[:, None, None]) + 0.1 * rng.normal(size=(n_cases, 1, 40))
    return SeriesSet(X, y, class_names, dataset, tuple(f"{part}-{i:05d}" for i in range(n_cases)))


def answers_of(test: SeriesSet, skill: float, seed: int) -> np.ndarray:
    """Probabilities (n_cases, n_classes): noise, with `skill` on the true class."""
    logits = 2 * np.random.default_rng(seed).normal(size=(test.n_cases, len(test.class_names)))
    logits[np.arange(test.n_cases), [test.class_names.index(label) for label in test.y]] += skill
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def make_run(
    runs: Path,
    *,
    dataset: str = "Waves",
    class_names: tuple[str, ...] = ("calm", "rough", "wild"),
    n_cases: int = 60,
    seed: int = 0,
    skill: float = 3.0,
    mode: str = "BASELINE",
    split: str = "official",
    texts: tuple[str, ...] = (),
    has_validation: bool = False,
    answers: str = "score",
) -> RunFolder:
    """A finished run `<runs>/<dataset>/model-seed<seed>`; `texts` are written by the first cases instead of letters."""
    run = RunFolder(runs / dataset / f"model-seed{seed}")
    splits = Splits(
        make_part("train", 9, class_names, dataset), None, make_part("test", n_cases, class_names, dataset), split
    )
    answer_map = AnswerMap(class_names)
    presentation = Presentation(PromptBuilder(answer_map, mode=mode), size=(48, 48))
    write_data(run, splits, Prepared(presentation, Budget(1, 90, 90, 4)), "hash", workers=1, progress=False)
    settings = settings_from({"dataset": dataset, "seed": seed, "split": split, "data_repr": mode, "lora_r": 8})
    write_text(run.config, resolved_yaml(settings))
    rows = predictions_of(splits.test.ids, splits.test.y, answers_of(splits.test, skill, seed), class_names)
    written = [*texts, *(" " + answer_map.answer_of(row.predicted) for row in rows[len(texts) :])]
    rows = [
        type(row)(row.id, row.true, row.predicted, row.probabilities, text, answer_map.label_of(text))
        for row, text in zip(rows, written, strict=True)
    ]
    document = metrics_document(
        rows,
        class_names,
        classifier="llava",
        dataset=dataset,
        split=split,
        seed=seed,
        commit="0123456789",
        n_train=9,
        base="plot-llava-mini",
        data_repr=mode,
        answers=answers,
        blank=rows,
        train_seconds=61.0,
        predict_seconds=2.0,
        peak_memory_mb=1234.0,
        device="CPU, 2 threads",
    )
    write_predictions(run.predictions, rows)
    write_json(run.metrics, document)
    lines = [{"step": step, "loss": 1 / step} for step in range(10, 110, 10)]
    if has_validation:
        lines += [{"step": step, "eval_accuracy": step / 200, "eval_log_loss": 0.5} for step in (50, 100)]
    write_text(run.adapter / "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return run


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One ordinary run, which a test must not change."""
    return make_run(tmp_path_factory.mktemp("runs"))
