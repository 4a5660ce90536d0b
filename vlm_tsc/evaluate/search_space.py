"""What `--search` chooses of a classifier of aeon: the space shipped for it, or the user's own, checked against it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_tsc.classify import classical, from_aeon
from vlm_tsc.errors import InputError, nearest
from vlm_tsc.evaluate.search import Range, Space
from vlm_tsc.options import raise_all
from vlm_tsc.resources import find_file, resource_dir
from vlm_tsc.yaml_file import Lines, line_of, read_yaml

NOTHING = {  # those of every run that have nothing to choose → why
    "majority": "it answers the most frequent class, whatever it is given",
    "1nn-ed": "one neighbour by the Euclidean distance; 1nn-dtw has a window to choose",
}
ONLY = {"1nn-dtw": ("distance_params",)}  # with other neighbours or distances it would not be what its name says
OURS = ("random_state", "n_jobs")  # the seed, and what changes no answer
FORM = (
    "parameter: [value, …] or parameter: {low: X, high: Y, log: true}; of a mapping, such as distance_params, name.key"
)
_WITH_EXPONENT = re.compile(r"[-+]?\d+\.?\d*[eE][-+]?\d+")  # a text for PyYAML, 1e-4 for everybody else


def space_of(name: str, file: Path | None) -> Space:
    """What is chosen of the classifier `name`: what `file` says, else what is shipped for it.

    Parameters
    ----------
    file : path or None
        YAML, see FORM.

    Raises
    ------
    InputError
        When there is nothing to choose, or nothing said of this classifier; with every problem of the file.
    """
    if name in NOTHING:
        raise InputError("there is nothing to choose", where=f"{name} --search", got=NOTHING[name], fix="no --search")
    known = searchable(name)
    path = _shipped(name) if file is None else find_file(file) or file
    if path is None:
        allowed = f"shipped for {', '.join(shipped())}"
        fix = f"--search-space FILE.yaml with lines {FORM}; of {name}: {', '.join(known)}"
        raise InputError("no search space is shipped for this classifier", where=name, allowed=allowed, fix=fix)
    values, lines = read_yaml(path)
    space: dict[str, tuple[Any, ...] | Range] = {}
    problems = []
    for key, value in values.items():
        where = f"{path}{line_of(lines, (key,))}"
        try:
            _refuse_unknown(key, known, name, where)
            space[key] = _choices(key, value, where)
        except InputError as problem:
            problems.append(problem)
    problems += _twice(list(space), path, lines)
    raise_all(problems, f"the search space of {name}")
    return space


def searchable(name: str) -> tuple[str, ...]:
    """Arguments of the classifier's constructor that may be chosen."""
    kind = type(classical.make_baseline(name))
    return tuple(key for key in ONLY.get(name, inspect.signature(kind).parameters) if key not in OURS)


def shipped() -> list[str]:
    """The names of classifiers of which a space is shipped."""
    return sorted(path.stem for path in resource_dir("configs/baselines/search").glob("*.yaml"))


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor: {"distance_params.window": 0.1} → {"distance_params": {"window": 0.1}}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        head, dot, key = name.partition(".")
        if dot:
            found[head] = {**found.get(head, {}), key: value}
        else:
            found[head] = value
    return found


def _shipped(name: str) -> Path | None:
    short = {class_name: alias for alias, class_name in from_aeon.SHORT.items()}
    path = resource_dir("configs/baselines/search") / f"{short.get(name, name)}.yaml"
    return path if path.is_file() else None


def _refuse_unknown(key: str, known: tuple[str, ...], name: str, where: str) -> None:
    if key.partition(".")[0] in known:
        return
    close = nearest(key, known, n=1)
    fix = f"did you mean {close[0]}?" if close else None
    raise InputError(f"{key} of {name} cannot be chosen", where=where, allowed=", ".join(known), fix=fix)


def _choices(key: str, value: Any, where: str) -> tuple[Any, ...] | Range:
    """A list of plain values, or a range of numbers, as a trial draws from it."""
    if (
        isinstance(value, list)
        and value
        and all(item is None or isinstance(item, bool | int | float | str) for item in value)
    ):
        return tuple(dict.fromkeys(_number(item) for item in value))
    if isinstance(value, dict) and {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        low, high, log = _number(value["low"]), _number(value["high"]), value.get("log", False)
        whole = [isinstance(item, int) for item in (low, high)]
        numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (low, high))
        if numbers and isinstance(log, bool) and 0 * high == 0 * low == 0 and low < high and (low > 0 or not log):
            return Range(low, high, log, all(whole))
    allowed = f"{FORM}; low below high, and above 0 with log"
    raise InputError(f"the choices of {key} cannot be used", where=where, got=value, allowed=allowed)


def _number(item: Any) -> Any:
    return float(item) if isinstance(item, str) and _WITH_EXPONENT.fullmatch(item) else item


def _twice(keys: list[str], path: Path, lines: Lines) -> list[InputError]:
    """A mapping that is chosen as a whole and by its keys."""
    both = [key for key in keys if "." in key and key.partition(".")[0] in keys]
    what = "a mapping is chosen as a whole and by its keys"
    return [InputError(what, where=f"{path}{line_of(lines, (key,))}", got=key) for key in both]
