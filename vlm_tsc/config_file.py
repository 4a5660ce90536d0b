"""CONFIG.yaml: flat option names, or the layout of the original VLM-TSC, or both."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vlm_tsc.errors import InputError
from vlm_tsc.options import Given, unknown
from vlm_tsc.yaml_file import line_of, read_yaml

log = logging.getLogger(__name__)

# The original's keys that have another name here → our option; its yes/no keys with what yes and no mean here.
RENAMED = {"downsample_to": "downsample", "model": "base"}
SWITCHES: dict[str, tuple[str, dict[bool, str | None]]] = {
    "padded": ("lengths", {True: "pad", False: "keep"}),
    "use_adaptive_downsampling": ("downsampling", {True: "adaptive", False: None}),
}
MOVED = ("image_path", "data_path")
SECTIONS = {"dataset": {"name": "dataset"}, "options": {}}  # nested mapping → its keys that have another name here


def read_settings(path: Path, fields: Collection[str]) -> tuple[dict[str, Given], list[InputError]]:
    """The settings that a YAML file gives, and what is wrong with its keys.

    Parameters
    ----------
    path : Path
        The file.
    fields : collection of str
        Names of the settings.

    Returns
    -------
    given : dict of str to Given
        Setting → value as written, with file and line. A null is left out: it means "not said here".
    problems : list of InputError
        Unknown keys with the nearest known one, settings said twice, and sections that are none.
    """
    values, lines = read_yaml(path)
    given: dict[str, Given] = {}
    problems: list[InputError] = []
    moved = []
    for section, name, value in _flat(values):
        where = f"{path}{line_of(lines, (section, name) if section else (name,))}"
        key = (SECTIONS[section] if section else {}).get(name, name.replace("-", "_"))
        if key in MOVED:
            moved.append(key)
            continue
        try:
            option, value = _translated(key, value, name, where, fields)
        except InputError as problem:
            problems.append(problem)
            continue
        if value is not None and option in given:
            problems.append(InputError(f"{name} and {given[option].name} say the same", where=where, fix="keep one"))
        elif value is not None:
            given[option] = Given(value, name, where)
    if moved:
        log.warning("%s: %s not used: everything is written into the run folder", path, " and ".join(moved))
    return given, problems


def _flat(values: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """`(section or "", key, value)` of every line; `dataset` is a plain key, or a section with `name` in it."""
    rows = []
    for key, value in values.items():
        if key in SECTIONS and isinstance(value, dict):
            rows += [(key, str(name), inner) for name, inner in value.items()]
        else:
            rows.append(("", key, value))
    return rows


def _translated(key: str, value: Any, name: str, where: str, fields: Collection[str]) -> tuple[str, Any]:
    if key == "options" and value is None:
        return key, None
    if key == "model" and str(value).lower() == "llava":  # the original knew no other: here, the default base
        return "base", None
    if key in SWITCHES and value is not None:
        option, meaning = SWITCHES[key]
        if not isinstance(value, bool):
            what = f"the value of {name} cannot be used"
            raise InputError(what, where=where, got=repr(value), allowed="true or false")
        return option, meaning[value]
    option = SWITCHES[key][0] if key in SWITCHES else RENAMED.get(key, key)
    if option not in fields:
        known = [*fields, *RENAMED, *SWITCHES, *MOVED, *SECTIONS]
        raise unknown(name, known, f"there is no setting {name}", where, dashes=False)
    return option, value
