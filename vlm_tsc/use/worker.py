"""One thread that owns the model: requests that wait while it computes are answered together."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

MAX_WAITING = 128  # requests; each may hold megabytes, and SageMaker gives none more than a minute
MAX_CASES = 256  # of several requests answered together; a single request may have more


class Busy(Exception):
    """Too many requests wait already."""


@dataclass
class _Job:
    cases: list[np.ndarray]
    answer: Future[np.ndarray] = field(default_factory=Future)


class Worker:
    """Opens a classifier and answers with it, all in one thread, so that the model is never entered twice at once.

    Parameters
    ----------
    open_classifier : callable
        Called once, in the thread.
    on_failure : callable
        Called in the thread when opening failed; `failure` says why.
    """

    def __init__(self, open_classifier: Callable[[], Any], on_failure: Callable[[], object] = lambda: None):
        self._open, self._on_failure = open_classifier, on_failure
        self._waiting: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.classifier: Any = None
        self.failure: BaseException | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return self.classifier is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to open the classifier; returns at once."""
        self._thread.start()

    def stop(self, seconds: float = 3.0) -> None:
        """Answer what waits, then end; return after `seconds` at most, whatever the model is doing."""
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def submit(self, cases: list[np.ndarray]) -> Future[np.ndarray]:
        """The probabilities (n_cases, n_classes) of cases (n_channels, n_timepoints), when they are known.

        Raises
        ------
        Busy
            When MAX_WAITING requests wait already.
        """
        job = _Job(cases)
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            raise Busy from None
        return job.answer

    def _run(self) -> None:
        try:
            self.classifier = self._open()
        except BaseException as error:
            self.failure = error
            self._on_failure()
            return
        while (first := self._waiting.get()) is not None:
            jobs, last = self._together(first)
            self._answer([job for job in jobs if job.answer.set_running_or_notify_cancel()])
            if last:
                return

    def _together(self, first: _Job) -> tuple[list[_Job], bool]:
        """What waits now, up to MAX_CASES cases, without waiting for more; and whether it is the end."""
        jobs, n_cases = [first], len(first.cases)
        while n_cases < MAX_CASES:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            n_cases += len(job.cases)
        return jobs, False

    def _answer(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            answered = self.classifier.predict_proba([case for job in jobs for case in job.cases])
        except Exception as error:
            if len(jobs) == 1:
                log.exception("the model failed")
                jobs[0].answer.set_exception(error)
                return
            for job in jobs:  # one may have spoiled it for all
                self._answer([job])
            return
        start = 0
        for job in jobs:
            job.answer.set_result(answered[start : start + len(job.cases)])
            start += len(job.cases)
