"""Runs that are open: what of their files is in memory, and single cases read on demand."""

from __future__ import annotations

import functools
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.archive.store import PARTS
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.records import Record
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.metrics import read_metrics
from vlm_tsc.evaluate.predictions import Prediction
from vlm_tsc.manifest import read_manifest
from vlm_tsc.report.facts import name_of
from vlm_tsc.report.finished import check_finished
from vlm_tsc.run import RunFolder
from vlm_tsc.use.explorer.case_index import CaseIndex, index_cases
from vlm_tsc.use.explorer.lines import Records
from vlm_tsc.use.explorer.paths import HERE, run_of

_KEPT = 4  # runs at once: two that are compared, and two before them


@dataclass(frozen=True)
class OpenRun:
    """A finished run.

    Attributes
    ----------
    name : str
        As in addresses.
    folder : RunFolder
    metrics : dict
    index : CaseIndex
    records : Records
    presentation : Presentation or None
        None for a baseline, which sees the series themselves.
    """

    name: str
    folder: RunFolder
    metrics: dict[str, Any]
    index: CaseIndex
    records: Records
    presentation: Presentation | None

    @property
    def title(self) -> str:
        return name_of(self.metrics)

    @property
    def has_model(self) -> bool:
        """Whether it can be asked about new series."""
        return self.folder.adapter.is_dir() or (self.folder.path / "model").is_dir()

    @functools.cached_property
    def has_series(self) -> bool:
        return self.folder.series.is_file()

    def answer(self, row: Prediction) -> str | None:
        """The class that counts as the answer; None: the generated text named no class."""
        return row.parsed if self.metrics.get("answers") == "generate" else row.predicted

    def row(self, case_id: str) -> int:
        """Place of a case; InputError when there is none of that id."""
        if case_id not in self.index.row_of:
            ids = self.index.ids
            raise InputError("there is no such case", got=case_id[:200], allowed=f"{ids[0]} to {ids[-1]}")
        return self.index.row_of[case_id]

    def record(self, row: int) -> Record:
        """The record of a row: prompt, and names of its pictures."""
        return self.records.record(row, self.index.ids[row])


def open_run(root: Path, name: str) -> OpenRun:
    """Read what every page needs of a run.

    Raises
    ------
    InputError
        Saying what is missing or broken.
    """
    run = run_of(root, name)
    check_finished(run)
    metrics = read_metrics(run.metrics)
    names = metrics.get("class_names")
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise InputError("This metrics.json is incomplete.", where=run.metrics, got="no class_names")
    index = index_cases(run.predictions, names, metrics.get("answers") or "score")
    if metrics["n_cases"] != len(index):
        got = f"{metrics['n_cases']} and {len(index)} cases"
        what, fix = "metrics.json and predictions.jsonl are of different evaluations.", "remove both and evaluate again"
        raise InputError(what, where=run.path, got=got, fix=fix)
    return OpenRun(name, run, metrics, index, Records(run.test), _presentation(run))


def _presentation(run: RunFolder) -> Presentation | None:
    manifest = read_manifest(run)
    described = manifest.details.get("presentation") if manifest else None
    try:
        return Presentation.from_dict(described) if described else None
    except (KeyError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise InputError("The manifest does not say how cases are shown.", where=run.manifest, got=got) from None


class Runs:
    """Open runs, the last few used; one whose files were written again is opened again."""

    def __init__(self, root: Path):
        self.root = root
        self._open: OrderedDict[str, tuple[tuple[int, ...], OpenRun]] = OrderedDict()
        self._metrics: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {}
        self._lock = threading.Lock()  # so that two requests do not index one file twice

    def get(self, name: str) -> OpenRun:
        """The run of a name; InputError when it cannot be opened."""
        run = run_of(self.root, name)
        stamp = _stamp(run)
        with self._lock:
            known = self._open.pop(name, None)
            if known is None or known[0] != stamp:
                known = (stamp, open_run(self.root, name))
            self._open[name] = known
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)
        return known[1]

    def metrics(self, name: str) -> dict[str, Any]:
        """metrics.json of a run, empty where it cannot be read; kept until it is written again."""
        stamp = _stamp_of(self.root / name / "metrics.json")
        known = self._metrics.get(name)
        if known is None or known[0] != stamp:
            known = self._metrics[name] = (stamp, _metrics(self.root, name))
        return known[1]


def _metrics(root: Path, name: str) -> dict[str, Any]:
    """Of a run that may be broken, unfinished or outside: then nothing."""
    try:
        return read_metrics(run_of(root, name).metrics)
    except (InputError, OSError):
        return {}


def _stamp(run: RunFolder) -> tuple[int, ...]:
    paths = (run.predictions, run.metrics, run.manifest, run.test)
    return _stamp_of(*paths)


def _stamp_of(*paths: Path) -> tuple[int, ...]:
    return tuple(value for path in paths if path.exists() for value in (path.stat().st_mtime_ns, path.stat().st_size))


def read_case(path: Path, case_id: str) -> np.ndarray:
    """One case `(n_channels, n_timepoints)` of series.npz; only the part that it is in is read.

    Raises
    ------
    InputError
        When the file is missing or broken, or holds no such case.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for part in reversed(PARTS):  # test cases are what is mostly asked for
                found = np.flatnonzero(arrays[f"{part}_ids"] == case_id) if f"{part}_ids" in arrays else []
                if len(found):
                    ends = np.cumsum(arrays[f"{part}_lengths"])
                    start = int(ends[found[0] - 1]) if found[0] else 0
                    return np.array(arrays[f"{part}_values"][:, start : int(ends[found[0]])], dtype=np.float64)
    except FileNotFoundError:
        raise InputError("The run has no series.", where=path, fix="run dataset.py or train.py first") from None
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        fix = "run dataset.py again"
        raise InputError("The run's series cannot be read.", where=path, got=error, fix=fix) from None
    raise InputError("The run has no series of this case.", where=path, got=case_id)


def shown_name(root: Path, name: str) -> str:
    """A run's name for people."""
    return root.name if name == HERE else name
