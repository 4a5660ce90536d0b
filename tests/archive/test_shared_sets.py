"""Every set of the shared data folder has the sizes that the folder's own README gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlm_tsc.archive import load
from vlm_tsc.errors import InputError

UCR = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ucr"
COMPLETE, INCOMPLETE = "dataset | archive", "dataset | train here"
WITH_GAPS = ("DodgerLoopDay", "DodgerLoopGame", "DodgerLoopWeekend", "MelbournePedestrian")
pytestmark = pytest.mark.skipif(
    not (UCR / "README.md").is_file(), reason="no shared data folder beside the checkout, so its sets are not walked"
)


def table(heading: str) -> list[list[str]]:
    """Rows of the README's table whose heading begins so, as cells."""
    lines = iter((UCR / "README.md").read_text().splitlines())
    assert any(line.startswith(f"| {heading}") for line in lines)
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def here(cell: str) -> int:
    """What stands before the slash in "160 / 1000"."""
    return int(cell.split("/")[0])


def lengths(splits) -> str:
    found = np.concatenate(
        [part.lengths for part in (splits.train, splits.validation, splits.test) if part is not None]
    )
    return str(found.min()) if found.min() == found.max() else f"{found.min()}-{found.max()}"


def n_train(splits) -> int:
    return splits.train.n_cases + (splits.validation.n_cases if splits.validation else 0)


def test_every_complete_set_has_the_published_sizes():
    rows = table(COMPLETE)
    folders = {path.name for path in UCR.iterdir() if path.is_dir()} - {"incomplete"}
    assert {row[0] for row in rows} == folders and len(rows) == 91
    wrong = []
    for name, _, _, train, test, length, channels, classes, *_ in rows:
        splits = load(name, data_dir=UCR, missing="interpolate" if name in WITH_GAPS else "error")
        found = [
            n_train(splits),
            splits.test.n_cases,
            lengths(splits),
            splits.train.n_channels,
            len(splits.train.class_names),
        ]
        if [str(value) for value in found] != [train, test, length, channels, classes]:
            wrong.append((name, found))
    assert wrong == []


def test_every_incomplete_set_has_the_sizes_it_is_said_to_have():
    rows = [row for row in table(INCOMPLETE) if row[0] != "CinCECGTorso"]
    assert len(rows) == 9
    for name, train, test, length, classes, _ in rows:
        splits = load(name, data_dir=UCR / "incomplete")
        found = [n_train(splits), splits.test.n_cases, splits.train.n_timepoints, len(splits.train.class_names)]
        assert found == [here(train), here(test), here(length), here(classes)], name


def test_a_set_without_test_part_needs_a_protocol_without_one():
    folder = UCR / "incomplete"
    with pytest.raises(InputError, match=r"(?s)CinCECGTorso has no test part.*CinCECGTorso_TEST.*holdout:0"):
        load("CinCECGTorso", data_dir=folder)
    splits = load("CinCECGTorso", data_dir=folder, split="holdout:0")
    assert splits.train.n_timepoints == 1639 and len(splits.train.class_names) == 4
    assert sum(part.n_cases for part in (splits.train, splits.validation, splits.test)) == 40


@pytest.mark.parametrize("name", WITH_GAPS)
def test_real_gaps_are_refused_by_default(name):
    with pytest.raises(
        InputError, match=rf"(?s)cases have missing values.*{name}_TRAIN\..*line \d+.*--missing interpolate"
    ):
        load(name, data_dir=UCR)


def test_the_set_in_the_folder_is_the_one_inside_aeon():
    ours, aeons = load("ItalyPowerDemand", data_dir=UCR), load("ItalyPowerDemand")
    for one, other in ((ours.train, aeons.train), (ours.test, aeons.test)):
        assert one.y.tolist() == other.y.tolist() and one.ids == other.ids
        np.testing.assert_allclose(one.X, other.X, atol=1e-6)
