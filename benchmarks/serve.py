"""The endpoint under 1,000 requests at 16 at a time: errors, labels, memory, and how long an answer takes."""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.series import ROOT
from benchmarks.timing import Result, table

AT_ONCE = 16
_N_TIMEPOINTS = 150
_GROWTH_MB = 20.0  # that does not count: allocators keep what a busy moment needed
_HOW = (
    "An InceptionTime of {filters} filters and the paper's depth and members, trained for one epoch on random walks of "
    "{points} points, served by python -m vlm_tsc.use.serve; {n} requests of one case each, text/csv, {at_once} at a "
    "time over kept connections, after {warm} that warm it up. Labels are compared with the classifier's own predict. "
    "Memory is resident, after the first half of the requests and after the second, which must not hold more."
)


@dataclass(frozen=True)
class Served:
    """What came of all requests.

    Attributes
    ----------
    n, errors, other_labels : int
        Requests, those without an answer 200, and answers that are not those of batch prediction.
    memory_mb : tuple of float
        Of the server after warming up, after half of the requests, after all.
    median_ms, slowest_ms, per_second : float
    """

    n: int
    errors: int
    other_labels: int
    memory_mb: tuple[float, float, float]
    median_ms: float
    slowest_ms: float
    per_second: float

    @property
    def growth_mb(self) -> float:
        """Memory that the second half of the requests added."""
        return self.memory_mb[2] - self.memory_mb[1]

    def verdict(self) -> str:
        """What the project promises, and whether it holds."""
        holds = not self.errors and not self.other_labels and self.growth_mb <= _GROWTH_MB
        return "as promised" if holds else "NOT AS PROMISED"


def run(quick: bool = False) -> Result:
    """1,000 requests; 64 where `quick`."""
    n, warm, filters = (64, 16, 2) if quick else (1000, 200, 8)
    with tempfile.TemporaryDirectory() as folder:
        cases, labels = _model(Path(folder) / "model", filters)
        with _server(Path(folder) / "model") as (process, port):
            row = _measured(process, port, cases, labels, n, warm)
    cells = [
        ("errors; labels unlike batch prediction", f"{row.errors}; {row.other_labels}"),
        ("memory after warming up, half, all", ", ".join(f"{value:.0f} MB" for value in row.memory_mb)),
        ("an answer: median, slowest", f"{row.median_ms:.0f} ms, {row.slowest_ms:.0f} ms"),
        ("answers a second", f"{row.per_second:.0f}"),
        ("no error, the same labels, no growth", row.verdict()),
    ]
    how = _HOW.format(filters=filters, points=_N_TIMEPOINTS, n=f"{n:,}", at_once=AT_ONCE, warm=warm)
    return Result("serve", how, (row,), table(("", f"{n:,} requests"), cells))


def _model(folder: Path, filters: int, n_cases: int = 40) -> tuple[np.ndarray, list[str]]:
    """Train the model into `folder`; cases to ask about, and what it answers to them in one call."""
    from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier

    X = np.random.default_rng(0).normal(size=(2 * n_cases, 1, _N_TIMEPOINTS)).cumsum(axis=2)
    y = np.where(X[:n_cases, 0, -1] > 0, "up", "down")
    classifier = InceptionTimeClassifier(filters=filters, epochs=1, model_dir=str(folder)).fit(X[:n_cases], y)
    return X[n_cases:], classifier.predict(X[n_cases:]).tolist()


@contextmanager
def _server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "vlm_tsc.use.serve", str(folder), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            while _asked(connection, "GET", "/ping", b"")[0] != 200:
                time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _asked(connection: http.client.HTTPConnection, method: str, path: str, body: bytes) -> tuple[int, str]:
    connection.request(method, path, body, {"Content-Type": "text/csv"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _measured(
    process: subprocess.Popen[str], port: int, cases: np.ndarray, labels: list[str], n: int, warm: int
) -> Served:
    import psutil

    own, opened = threading.local(), ExitStack()  # a connection each

    def ask(i: int) -> tuple[float, bool, bool]:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            opened.callback(own.connection.close)
        body = ",".join(map(repr, cases[i % len(cases), 0].tolist())).encode()
        started = time.perf_counter()
        status, text = _asked(own.connection, "POST", "/invocations", body)
        return time.perf_counter() - started, status == 200, text.strip() == labels[i % len(cases)]

    def memory() -> float:
        return psutil.Process(process.pid).memory_info().rss / 1e6

    with opened, ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(warm)))
        before = memory()
        started = time.perf_counter()
        first = list(pool.map(ask, range(n // 2)))
        half = memory()
        second = list(pool.map(ask, range(n // 2, n)))
        seconds = time.perf_counter() - started
    times, good, same = zip(*first, *second, strict=True)
    ms = [1000 * value for value in times]
    errors, other = good.count(False), sum(ok and not equal for ok, equal in zip(good, same, strict=True))
    return Served(n, errors, other, (before, half, memory()), statistics.median(ms), max(ms), n / seconds)
