"""The explorer over a run of 50,000 cases: seconds until the first page, until a next one, and memory."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from benchmarks.series import ROOT
from benchmarks.timing import Result, table

_CLASSES = tuple(f"class {i}" for i in range(8))
_LENGTH, _N_PICTURES = 150, 16
_AIMS = {"first": 2.0, "next": 0.5, "memory": 1000.0}
_HOW = (
    "A made-up run of {n:,} cases of {length} points and {classes} classes: predictions, records with their values, "
    "series, and as many pictures, which are hard links to {pictures} PNGs. python -m vlm_tsc.use.explore serves it. A "
    "page is timed until its HTML and its 24 pictures are here. First: the run is opened, its files are in the page "
    "cache. Next: {pages} pages of every filter and order, and the last. Memory is resident, after all. No model is "
    "asked: that takes what the model takes."
)


@dataclass(frozen=True)
class Explored:
    """What came of it: seconds of the list of runs, of the first page, of further pages, of a case; MB."""

    listing: float
    first: float
    median: float
    slowest: float
    case: float
    memory_mb: float

    def cells(self) -> list[tuple[str, str, str]]:
        """Rows of the table: what, measured, aim."""
        return [
            ("list of runs", f"{self.listing:.2f} s", "–"),
            ("first page of cases", f"{self.first:.2f} s", _verdict(self.first, _AIMS["first"], "s")),
            ("next pages, median", f"{self.median:.3f} s", "–"),
            ("next pages, slowest", f"{self.slowest:.3f} s", _verdict(self.slowest, _AIMS["next"], "s")),
            ("one case", f"{self.case:.3f} s", "–"),
            ("memory", f"{self.memory_mb:.0f} MB", _verdict(self.memory_mb, _AIMS["memory"], "MB")),
        ]


def run(quick: bool = False) -> Result:
    """Make the run, serve it and look at it; 500 cases where `quick`."""
    n_cases, n_pages = (500, 2) if quick else (50_000, 6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs"
        make_run(folder / "Made" / "up", n_cases)
        with _explorer(folder) as (process, address):
            row = _measured(process, address, n_pages)
    sizes = {"n": n_cases, "length": _LENGTH, "classes": len(_CLASSES), "pictures": _N_PICTURES, "pages": n_pages}
    return Result("explore", _HOW.format(**sizes), (row,), table(("", "measured", "aim"), row.cells()))


def make_run(folder: Path, n_cases: int) -> None:
    """Write the files of a finished run that nobody trained."""
    from vlm_tsc.archive.series_set import SeriesSet
    from vlm_tsc.archive.splits import Splits
    from vlm_tsc.archive.store import write_splits
    from vlm_tsc.conversation.answers import AnswerMap
    from vlm_tsc.conversation.presentation import Presentation
    from vlm_tsc.conversation.prompt import PromptBuilder
    from vlm_tsc.conversation.records import record, write_records
    from vlm_tsc.evaluate import metrics_document, predictions_of, write_predictions
    from vlm_tsc.files import write_json
    from vlm_tsc.manifest import Manifest, write_manifest
    from vlm_tsc.representation import png_bytes
    from vlm_tsc.run import RunFolder

    run, rng = RunFolder(folder), np.random.default_rng(0)
    X = rng.normal(size=(n_cases, 1, _LENGTH)).cumsum(axis=2)
    y, ids = np.array(_CLASSES)[np.arange(n_cases) % len(_CLASSES)], tuple(f"test-{i:05d}" for i in range(n_cases))
    test = SeriesSet(X, y, _CLASSES, "Made", ids)
    presentation = Presentation(PromptBuilder(AnswerMap(_CLASSES)), size=(112, 112))
    questions = [presentation.question(case) for case in X[:_N_PICTURES]]
    run.images.mkdir(parents=True)
    for i, id_ in enumerate(ids):
        if i < _N_PICTURES:
            (run.images / f"{id_}.png").write_bytes(png_bytes(presentation.pictures(X[i])[0]))
        else:
            os.link(run.images / f"{ids[i % _N_PICTURES]}.png", run.images / f"{id_}.png")
    write_records(
        run.test, [record(x, [f"images/{x}.png"], questions[i % _N_PICTURES], "A") for i, x in enumerate(ids)]
    )
    logits = rng.normal(size=(n_cases, len(_CLASSES))) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = predictions_of(ids, y, shares, _CLASSES)
    facts = {"classifier": "llava", "dataset": "Made", "split": "official", "seed": 0, "commit": "none", "n_train": 8}
    write_predictions(run.predictions, rows)
    write_json(run.metrics, metrics_document(rows, _CLASSES, base="none", data_repr="BASELINE", **facts))
    write_splits(run.series, Splits(test.select(np.arange(len(_CLASSES))), None, test, "official"))
    write_manifest(run, Manifest(details={"presentation": presentation.to_dict()}))


@contextmanager
def _explorer(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "vlm_tsc.use.explore", str(folder), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield process, found[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _measured(process: subprocess.Popen[str], address: str, n_pages: int) -> Explored:
    import psutil

    def cases(**view: object) -> float:
        return _seconds(address, "/cases?" + urlencode({"run": "Made/up", **view}))

    resident = psutil.Process(process.pid)
    listing, first = _seconds(address, "/"), cases()
    views = [
        {"show": show, "order": order, "page": page}
        for show in ("all", "wrong", "unsure")
        for order in ("file", "sure", "least")
        for page in range(1, n_pages + 1)
    ]
    times = [cases(**view) for view in [*views, {"page": 1_000_000}, {"true": _CLASSES[3]}]]
    case = _seconds(address, "/case?" + urlencode({"run": "Made/up", "id": "test-00400", "show": "all"}))
    memory = resident.memory_info().rss / 1e6
    return Explored(listing, first, statistics.median(times), max(times), case, memory)


def _seconds(address: str, path: str) -> float:
    """Of a page with its pictures, asked for one after another."""
    started = time.perf_counter()
    page = _read(address + path).decode()
    for picture in re.findall(r'<img src="([^"]+)"', page):
        _read(address + unescape(picture))
    return time.perf_counter() - started


def _read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()


def _verdict(value: float, aim: float, unit: str) -> str:
    return f"{'≤' if value <= aim else 'ABOVE'} {aim:g} {unit}"
