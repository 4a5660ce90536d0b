"""What several stages' tests need: a LLaVA small enough to train in seconds, and a dataset that it can learn."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.archive.splits import Splits


def _keep_to_own_core() -> None:
    """A worker of pytest-xdist, and what it starts, stays on a core of its own.

    Libraries then begin one thread instead of one a core: threads of two processes that wait for each other on the same
    cores take several times as long. Before anything of them is imported, because OpenMP counts cores only once.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


_keep_to_own_core()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained LLaVA with the bundled base's tokenizer, processor and classes, but tiny widths."""
    import torch

    from vlm_tsc.pretrain.base_model import build_model, build_processor, train_tokenizer, vision_config
    from vlm_tsc.pretrain.tasks import example_texts

    folder = tmp_path_factory.mktemp("bases") / "tiny"
    torch.manual_seed(0)
    tokenizer = train_tokenizer(example_texts(0, 200), 600)
    shape = vision_config(image_size=32, patch_size=8, width=32, layers=2)
    model = build_model(tokenizer, shape, width=32, layers=2, intermediate=64, feature_layer=-1)
    model.save_pretrained(folder)
    build_processor(tokenizer, 32, 8).save_pretrained(folder)
    return folder


def make_set(n_cases: int, seed: int, part: str = "train", n_channels: int = 1, length: int = 30) -> SeriesSet:
    """Cases of two classes, "up" and "down", that differ in their slope."""
    rng = np.random.default_rng(seed)
    y = np.array(["up", "down"])[np.arange(n_cases) % 2]
    slope = np.where(y == "up", 1.0, -1.0)[:, None, None] * np.linspace(-1, 1, length)
    X = slope + 0.1 * rng.normal(size=(n_cases, n_channels, length))
    return SeriesSet(X, y, ("down", "up"), "Slopes", tuple(f"{part}-{i:05d}" for i in range(n_cases)))


def make_splits() -> Splits:
    """The same kind of data as an official split with validation: 12, 4 and 8 cases."""
    cases = make_set(16, 0)
    return Splits(cases.select(range(12)), cases.select(range(12, 16)), make_set(8, 1, "test"), "official")


@pytest.fixture
def slopes_file(tmp_path: Path) -> Path:
    """The same kind of data as the user's own file, with its test part `slopes_test.npz` beside it."""
    for name, n_cases, seed in (("slopes.npz", 12, 0), ("slopes_test.npz", 10, 1)):
        cases = make_set(n_cases, seed)
        np.savez(tmp_path / name, X=cases.X, y=cases.y)
    return tmp_path / "slopes.npz"
