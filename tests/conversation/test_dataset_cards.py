from __future__ import annotations

from pathlib import Path

import pytest

from vlm_tsc.conversation import cards
from vlm_tsc.conversation.cards import GENERIC_TASK, card_names, load_card
from vlm_tsc.errors import InputError

# The sets of the original project, and their labels in the archive.
SEED_SETS = {
    "TwoLeadECG": "12",
    "CinCECGTorso": "1234",
    "FreezerSmallTrain": "12",
    "PhalangesOutlinesCorrect": "01",
    "ItalyPowerDemand": "12",
    "PenDigits": "0123456789",
    "HandOutlines": "01",
}


@pytest.mark.parametrize("dataset", SEED_SETS)
def test_the_seed_sets_have_a_card(dataset: str) -> None:
    card = load_card(dataset)
    assert card.task != GENERIC_TASK
    assert card.task.endswith(".")
    assert card.class_names is None or set(card.class_names) == set(SEED_SETS[dataset])


def test_every_shipped_card_loads() -> None:
    assert {load_card(name).task for name in card_names()}
    assert set(SEED_SETS) <= set(card_names())


@pytest.mark.parametrize("dataset", ["Unheard", "", "../../README", "/etc/passwd", "../cards/PenDigits"])
def test_other_names_get_the_generic_card(dataset: str) -> None:
    assert load_card(dataset) == cards.DatasetCard()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: x\nclas_names: {}\n", "line 2"),
        ("task: x\nclass_names:\n  1: one\n", "quotes"),
        ("class_names:\n  '1': one\n", "task"),
        ("task: [x]\n", "task"),
        ("task: x\nclass_names: [one]\n", "class_names"),
        ("task: |\n  two\n  lines\n", "single lines"),
        ("task: 'x\n", "YAML"),
        ("", "empty"),
    ],
)
def test_a_bad_card_names_file_and_fault(tmp_path: Path, monkeypatch, text: str, message: str) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "Bad.yaml").write_text(text)
    monkeypatch.setattr(cards, "resource_dir", lambda name: tmp_path)
    with pytest.raises(InputError, match=message):
        load_card("Bad")
