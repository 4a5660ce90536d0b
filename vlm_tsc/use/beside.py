"""The numbers beside a figure: files that nobody named, which must not take the place of somebody's own."""

from __future__ import annotations

import json
from pathlib import Path

from vlm_tsc.errors import InputError

# First lines of the tables that stand beside figures of this project: of a case's map, of classes' maps.
CASE_HEADER = ("channel", "timepoint", "value", "drop")  # channels and timepoints counted from 1, drops in nats
CLASS_HEADER = ("class", "n_cases", "channel", "share", "value", "value_sd", "drop", "drop_sd")


def refuse_replacing(figure: Path) -> None:
    """Refuse a figure beside which a .csv or .json lies that is no map's: writing the numbers would replace it.

    Raises
    ------
    InputError
        Naming the file.
    """
    for path, is_ours in ((figure.with_suffix(".csv"), _is_table), (figure.with_suffix(".json"), _is_facts)):
        if path.exists() and not is_ours(path):
            what = "the numbers of the figure would replace a file that is there"
            raise InputError(what, where=path, got="not written by this command", fix="another --output")


def _is_table(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip() in (",".join(CASE_HEADER), ",".join(CLASS_HEADER))


def _is_facts(path: Path) -> bool:
    try:
        facts = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and "fill" in facts and bool({"peak", "n_cases"} & set(facts))
