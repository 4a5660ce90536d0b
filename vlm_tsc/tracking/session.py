"""A run's curves while it trains, and its results when it is finished, to every tracker that was named."""

from __future__ import annotations

import importlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vlm_tsc.errors import InputError
from vlm_tsc.manifest import read_manifest
from vlm_tsc.run import RunFolder
from vlm_tsc.terminal import working
from vlm_tsc.tracking.facts import About, Results, about, curve, figures
from vlm_tsc.tracking.state import State, read_states, write_states

log = logging.getLogger(__name__)

# Tracker → its module and class; imported when it is asked for, because each takes seconds.
TRACKERS = {
    "wandb": ("vlm_tsc.tracking.on_wandb", "WandbTracker"),
    "mlflow": ("vlm_tsc.tracking.on_mlflow", "MlflowTracker"),
    "tensorboard": ("vlm_tsc.tracking.on_tensorboard", "TensorBoardTracker"),
}
OnLog = Callable[[int, Mapping[str, float]], None]


class Tracker(Protocol):
    """A tracker's run, opened or gone on with by `Tracker(about, state)`, which fills `state`."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log a point of some curves."""
        ...

    def results(self, results: Results) -> None:
        """Log what a finished run adds."""
        ...

    def close(self, outcome: str) -> None:
        """Leave the run, which is then "training" still, "finished" or "failed"."""
        ...


def _open(name: str, run: About, state: State) -> Tracker:
    module, kind = TRACKERS[name]
    return getattr(importlib.import_module(module), kind)(run, state)


def _open_or_refuse(name: str, run: About, state: State) -> Tracker:
    try:
        return _open(name, run, state)
    except Exception as error:
        fix = f"see the settings of {name} in the environment, or leave it out of --report-to"
        raise InputError(f"{name} cannot be used", where="--report-to", got=_short(error), fix=fix) from error


class _Live:
    """Tells trackers every line of the log; a resumed training does not tell again what was told."""

    def __init__(self, run: RunFolder, states: dict[str, State], trackers: dict[str, Tracker]):
        self.run, self.states, self.trackers = run, states, dict(trackers)
        self.known = {name: states[name].step for name in trackers}
        self.last = 0

    def tell(self, step: int, line: Mapping[str, float]) -> None:
        if not (named := curve(line)):
            return
        for name, tracker in list(self.trackers.items()):
            if step <= self.known[name]:
                continue
            try:
                tracker.log(step, named)
            except Exception as error:  # training goes on: what is missing is logged at the end, from log.jsonl
                log.warning("%s takes no figures now; they follow after training: %s", name, _short(error))
                del self.trackers[name]
                continue
            if step > self.last:  # all lines of the step before are through; this step may have another one
                self.states[name].step = max(self.states[name].step, self.last)
        self.last = step
        write_states(self.run, self.states)

    def end(self) -> None:
        """Training is over: the last step has no more lines."""
        for name in self.trackers:
            self.states[name].step = max(self.states[name].step, self.last)
        write_states(self.run, self.states)


@contextmanager
def live(names: Sequence[str], run: RunFolder) -> Iterator[OnLog | None]:
    """Within, the function that tells every tracker in `names` a line of the log; None without trackers.

    The run of a tracker that was begun before is gone on with.
    """
    if not names:
        yield None
        return
    facts, states, trackers = about(run), read_states(run), dict[str, Tracker]()
    try:
        for name in names:
            trackers[name] = _open_or_refuse(name, facts, states.setdefault(name, State()))
        write_states(run, states)
        telling = _Live(run, states, trackers)
        yield telling.tell
        telling.end()
    except BaseException:
        _close(trackers, "failed")
        raise
    _close(trackers, "training")


def _close(trackers: Mapping[str, Tracker], outcome: str) -> None:
    for name, tracker in trackers.items():
        try:
            tracker.close(outcome)
        except Exception as error:  # must not cost a trained adapter
            log.warning("%s could not be closed: %s", name, _short(error))


def log_finished(names: Sequence[str], run: RunFolder) -> list[str]:
    """Log a finished run's results to every tracker in `names`, and the part of its curves that is not there yet.

    Returns
    -------
    list of str
        A line per tracker that says where the run is. What was logged before is not logged again.

    Raises
    ------
    InputError
        Naming the trackers that could not be reached, after the others were told.
    """
    facts, states, problems = about(run), read_states(run), []
    manifest = read_manifest(run)
    evaluated = manifest.finished["evaluation"] if manifest else ""
    missing = [name for name in names if states.setdefault(name, State()).logged != evaluated]
    with tempfile.TemporaryDirectory() as folder:
        results = _results(run, Path(folder)) if missing else None
        for name in missing:
            try:
                with working(f"logging to {name}"):
                    _log_results(_open(name, facts, states[name]), run, states[name], results)
            except Exception as error:
                problems.append((name, error))
                continue
            states[name].logged = evaluated
            write_states(run, states)
    if problems:
        failed = ", ".join(name for name, _ in problems)
        got = "; ".join(_short(error) for _, error in problems)
        fix = "the same command again: the run is finished, and only this is left"
        raise InputError(f"the run could not be logged to {failed}", where=run.path, got=got, fix=fix) from problems[0][
            1
        ]
    return [states[name].told(name) for name in names]


def _log_results(tracker: Tracker, run: RunFolder, state: State, results: Any) -> None:
    outcome = "failed"
    try:
        for line in log_lines(run):
            if line["step"] > state.step and (named := curve(line)):
                tracker.log(line["step"], named)
        state.step = max(state.step, results.step)
        tracker.results(results)
        outcome = "finished"
    finally:
        tracker.close(outcome)


def log_lines(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of adapter/log.jsonl."""
    return [json.loads(line) for line in (run.adapter / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def _results(run: RunFolder, folder: Path) -> Results:
    from vlm_tsc.evaluate.metrics import read_metrics
    from vlm_tsc.tracking.picture import write_matrix

    document = read_metrics(run.metrics)
    matrix, picture, matrix_file = write_matrix(folder, document)
    files = [run.config, run.metrics, run.predictions, run.report]
    return Results(
        step=max((line["step"] for line in log_lines(run)), default=0),
        figures=figures(document),
        matrix=matrix,
        picture=picture,
        matrix_file=matrix_file,
        files=[path for path in files if path.is_file()],
    )


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]
