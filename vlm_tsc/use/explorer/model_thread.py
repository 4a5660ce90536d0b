"""One thread that owns the model: opened when it is first asked, and never entered twice at once."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from vlm_tsc.use.worker import Busy

log = logging.getLogger(__name__)

MAX_WAITING = 8  # a person waits for one, and has perhaps pressed again
_Job = tuple[Path, Callable[[Any], Any], "Future[Any]"]


class ModelThread:
    """Does work with the model of a run, one piece after another; only the last model stays in memory.

    Parameters
    ----------
    open_model : callable
        Run folder → model; called in the thread.
    """

    def __init__(self, open_model: Callable[[Path], Any]):
        self._open = open_model
        self._opened: tuple[tuple[Path, int], Any] | None = None
        self._waiting: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to wait for work; nothing is opened yet."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """End after the work at hand; return after `seconds` at most."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(seconds)

    def submit(self, run: Path, work: Callable[[Any], Any]) -> Future[Any]:
        """What `work` returns for the run's model, when it is known.

        Raises
        ------
        Busy
            When MAX_WAITING pieces of work wait already.
        """
        answer: Future[Any] = Future()
        try:
            self._waiting.put_nowait((run, work, answer))
        except queue.Full:
            raise Busy from None
        return answer

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            run, work, answer = job
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(work(self._model_of(run)))
                except Exception as error:
                    answer.set_exception(error)

    def _model_of(self, run: Path) -> Any:
        files = [path for name in ("adapter", "model") for path in (run / name).glob("*")]
        key = (run, max((path.stat().st_mtime_ns for path in files), default=0))
        if self._opened is None or self._opened[0] != key:
            self._opened = None  # first, so that two models are never in memory together
            self._opened = (key, self._open(run))
        return self._opened[1]
