"""Finished runs, read from their folders and grouped over seeds."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from vlm_tsc.classify import classical
from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.metrics import read_metrics
from vlm_tsc.run import NEUTRAL

log = logging.getLogger(__name__)
TITLES = {**classical.ALL_TITLES, "inception-time": "InceptionTime", "masked-transformer": "masked transformer"}
TITLES |= {"vision-probe": "linear on vision tower", "decoder-probe": "linear on decoder"}

_SAME = ("classifier", "base", "data_repr", "answers", "views")
_OF_THE_CASES = ("test", "split")  # settings that say which cases, and nothing of the method
_TOLD = 3  # settings that a name may tell

Run = Mapping[str, Any]  # the content of a metrics.json; with "run" and "settings" where `collect` read it


@dataclass(frozen=True)
class Row:
    """Runs that differ in nothing but their seed. `figures`: key of metrics.json → mean over the runs that have it."""

    name: str
    title: str  # its name where no other experiment stands beside it
    experiment: dict[str, Any]
    figures: dict[str, float | None]
    deviation: float | None  # standard deviation (n - 1) of the accuracy; None for a single run
    is_vlm: bool
    folder: str | None
    base: str | None = None
    seeds: tuple[int, ...] = ()
    commits: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()  # of every run in it
    warnings: list[str] = field(default_factory=list)


def collect(folder: Path | str, split: str) -> list[dict[str, Any]]:
    """Every finished run of one dataset and split, oldest first.

    Parameters
    ----------
    folder : path
        `runs/<dataset>`, the parent of the run folders; it may be missing.
    split : str

    Returns
    -------
    list of dict
        The content of each `metrics.json`, with the folder's name as "run" and, as "settings", what its `config.yaml`
        says about the experiment (not its seed, its name or how it was run). A file that is no metrics.json is left out
        with a warning: what lies beside a run must not cost it its table.
    """
    files = sorted(Path(folder).glob("*/metrics.json"), key=lambda path: (path.stat().st_mtime, path))
    runs = []
    for path in files:
        try:
            run = read_run(path.parent)
        except InputError as error:
            log.warning("left out of the table: %s", error)
            continue
        if run["split"] == split:
            runs.append(run)
    return runs


def read_run(folder: Path) -> dict[str, Any]:
    """One finished run, as `collect` gives it; InputError when its metrics.json is missing or broken."""
    run = read_metrics(folder / "metrics.json")
    settings = _settings(folder / "config.yaml")
    return run | {"run": folder.resolve().name, "settings": _as_asked(settings, folder / "search.json")}


def _as_asked(settings: dict[str, Any], search: Path) -> dict[str, Any]:
    """Of a run whose settings were searched, how many were tried in place of what each seed's search has chosen."""
    try:
        found = json.loads(search.read_text(encoding="utf-8"))
        others = {key: value for key, value in settings.items() if key not in found["chosen"]}
        return others | {"searched": len(found["trials"])}
    except FileNotFoundError:
        return settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a run's search.json could not be read: %s", error)
        return settings


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {key: value for key, value in settings.items() if key not in NEUTRAL}
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        log.warning("settings of a run could not be read: %s", error)
        return {"unread": str(path)}  # equal to no other run's, so it is grouped with none


def rows(runs: Sequence[Run], keys: Sequence[str]) -> list[Row]:
    """One row per experiment, vision-language models first, both parts by falling accuracy.

    Parameters
    ----------
    runs : sequence of metrics
        Of one dataset and split. Of two runs of one experiment with the same seed the later in the sequence counts.
    keys : sequence of str
        The figures wanted.
    """
    experiments: dict[str, dict[int, Run]] = {}
    for run in runs:
        experiments.setdefault(_key(experiment(run)), {})[run["seed"]] = run
    found = [_row(list(group.values()), keys) for group in experiments.values()]
    return sorted(_distinct(found), key=lambda row: (not row.is_vlm, -(row.figures["accuracy"] or 0)))


def experiment(run: Run) -> dict[str, Any]:
    """What a run has in common with those that differ from it in nothing but seed and dataset; nested keys by dots."""
    settings = {key: value for key, value in (run.get("settings") or {}).items() if key not in _OF_THE_CASES}
    models = {"ensemble": run.get("ensemble") or 1}  # runs from before there were ensembles do not name it
    return {key: run.get(key) for key in _SAME} | _flat(settings) | models


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def told_apart(found: Sequence[Row]) -> dict[int, str]:
    """A name for each row, by its `id()`: equal for equal experiments, whatever their set, and for no others.

    Where titles are the same, settings in which they differ are added.
    """
    by_title: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found:
        by_title.setdefault(row.title, {})[_key(row.experiment)] = row.experiment
    names = {}
    for title, others in by_title.items():
        keys = dict.fromkeys(key for one in others.values() for key in one)
        differing = [key for key in keys if len({_key({"": one.get(key)}) for one in others.values()}) > 1]
        for number, (key, one) in enumerate(others.items(), start=1):
            told = [
                f"{name.rsplit('.', 1)[-1].replace('_', ' ')} {_plain(one.get(name))}" for name in differing[:_TOLD]
            ]
            more = f" ({number})" if len(differing) > _TOLD else ""
            names[title, key] = ", ".join([title, *told]) + more
    return {id(row): names[row.title, _key(row.experiment)] for row in found}


def _plain(value: Any) -> str:
    return "none" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _row(group: list[Run], keys: Sequence[str]) -> Row:
    first = group[0]
    base = first.get("base")
    accuracies = [run["accuracy"] for run in group]
    title = f"{base_name(base)} {first.get('data_repr') or ''}".strip() if base else _title(first)
    return Row(
        name=title,
        title=title,
        experiment=experiment(first),
        figures={key: _mean([run.get(key) for run in group]) for key in keys},
        deviation=stdev(accuracies) if len(group) > 1 else None,
        is_vlm=bool(base),
        folder=first.get("run"),
        base=base,
        seeds=tuple(sorted(run["seed"] for run in group)),
        commits=tuple(dict.fromkeys(str(run.get("commit") or "unknown") for run in group)),
        folders=tuple(run["run"] for run in group if run.get("run")),
        # the majority class always gives one answer: only a trained model is warned about
        warnings=sorted({text for run in group for text in run.get("warnings", ())}) if base else [],
    )


def base_name(base: str) -> str:
    """A checkpoint's name without its owner or folder."""
    return base.rstrip("/").rsplit("/", 1)[-1]


def _title(run: Run) -> str:
    """The classifier's name, and the note that its metrics.json makes of how it was trained."""
    classifier: str = run["classifier"]
    name = TITLES.get(classifier, classifier)
    return f"{name}, {run['note']}" if run.get("note") else name


def _mean(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return mean(present) if present else None


def _distinct(found: list[Row]) -> list[Row]:
    """The run's own name where two experiments would read the same."""
    names = [row.name for row in found]
    return [replace(row, name=row.folder) if names.count(row.name) > 1 and row.folder else row for row in found]
