"""Any other classifier of aeon as a baseline, by a short name or the name of its class."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlm_tsc.errors import InputError

SHORT = {"multirocket-hydra": "MultiRocketHydraClassifier", "quant": "QUANTClassifier"}
TITLES = {"multirocket-hydra": "MultiRocket-Hydra", "quant": "QUANT"}
# wrappers around classifiers that would have to be given, answers before the series ends, ordered labels, no series
LEFT_OUT = ("compose", "early_classification", "ordinal_classification", "sklearn", "tests")


@functools.cache
def aeon_classes() -> dict[str, str]:
    """Name of every class → its module, read off aeon's own lists without importing aeon, which takes seconds."""
    spec = importlib.util.find_spec("aeon")
    assert spec is not None and spec.origin is not None  # a dependency
    found = {}
    for init in sorted((Path(spec.origin).parent / "classification").glob("*/__init__.py")):
        family = init.parent.name
        for name in _exported(init) if family not in LEFT_OUT else ():
            if not name.startswith("Base"):
                found[name] = f"aeon.classification.{family}"
    return found


def _exported(init: Path) -> list[str]:
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


def is_known(name: str) -> bool:
    """Whether `make` knows the name."""
    return name in SHORT or name in aeon_classes()


def make(name: str, seed: int, parameters: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """A new, unfitted classifier, `seed` as its random state, on every core; aeon's defaults but for `parameters`.

    Raises
    ------
    InputError
        When aeon wants a package that is not installed, or an argument without a default.
    """
    made_with = {"random_state": seed, "n_jobs": n_cores()}
    try:
        kind = class_of(name)
        taken = {key: value for key, value in made_with.items() if key in inspect.signature(kind).parameters}
        return kind(**taken, **parameters)
    except (ModuleNotFoundError, TypeError) as error:
        raise InputError("aeon cannot make this classifier here", where=name, got=str(error).split("\n")[0]) from error


def class_of(name: str) -> type:
    """The class; ModuleNotFoundError when it wants a package that is not installed."""
    class_name = SHORT.get(name, name)
    return getattr(importlib.import_module(aeon_classes()[class_name]), class_name)


def n_cores() -> int:
    """Cores that numba may use, and so aeon."""
    import numba

    # not os.cpu_count() or -1: numba refuses more threads than the process may use, e.g. under taskset or Slurm
    return numba.get_num_threads()
