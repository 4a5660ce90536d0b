"""Published accuracies, read where they already are: in the result files that the aeon package carries."""

from __future__ import annotations

import csv
import functools
import importlib.util
import logging
from pathlib import Path

log = logging.getLogger(__name__)

METHODS = {  # name of aeon's file → the method's name
    "HC2": "HIVE-COTE 2",
    "InceptionTime": "InceptionTime",
    "WEASEL-2.0": "WEASEL 2.0",
    "FreshPRINCE": "FreshPRINCE",
}
SUFFIX = "_accuracy.csv"
OFFICIAL = 1  # column of resample 0, the archive's own split, after the dataset's name


def published(dataset: str, split: str, n_test: int, complete: bool = True) -> dict[str, float]:
    """Accuracies of published methods on the same test cases, by method, best first.

    Parameters
    ----------
    dataset : str
        The archive's name of the set.
    split : str
        Anything but "official" has no published accuracies: mixing splits compares nothing.
    n_test : int
        Cases of the test part. An accuracy that is no whole number of these cases was measured on another test part
        (the archive has several editions of some sets, and copies may lack cases), and then none is returned.
    complete : bool
        False when the caller knows that cases are missing, in either part.

    Returns
    -------
    dict of str to float
        Empty when there is nothing that may be compared.
    """
    if split != "official" or not complete:
        return {}
    return dict(_of(dataset, n_test))


@functools.cache  # a report asks for its page, its tables and its diagrams: what does not fit is said once
def _of(dataset: str, n_test: int) -> tuple[tuple[str, float], ...]:
    found = {method: table[dataset] for method, table in _tables().items() if dataset in table}
    if any(abs(accuracy * n_test - round(accuracy * n_test)) > 1e-3 for accuracy in found.values()):
        log.warning("published accuracies of %s are of another test part than these %d cases", dataset, n_test)
        return ()
    return tuple(sorted(found.items(), key=lambda item: -item[1]))


@functools.cache
def _tables() -> dict[str, dict[str, float]]:
    """Method → dataset → accuracy on the official split."""
    tables = {}
    for path in sorted(_folder().glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) > OFFICIAL and row[OFFICIAL]][1:]  # a heading first
        tables[METHODS.get(name, name)] = {row[0]: float(row[OFFICIAL]) for row in rows}
    if not tables:
        log.warning("this aeon carries no result files (%s): no published accuracies are shown", _folder())
    return tables


def _folder() -> Path:
    spec = importlib.util.find_spec("aeon")  # finds the package without importing it
    home = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path("aeon")
    return home / "testing" / "example_results_files" / "classification" / "accuracy"
