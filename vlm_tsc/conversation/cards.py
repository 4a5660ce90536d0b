"""Dataset cards: what a dataset is about, in words that may go into the question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlm_tsc.errors import InputError
from vlm_tsc.resources import resource_dir
from vlm_tsc.yaml_file import line_of, read_yaml

GENERIC_TASK = "Tell which class it belongs to."


@dataclass(frozen=True)
class DatasetCard:
    """Task and class names of one dataset.

    Attributes
    ----------
    task : str
        One sentence for the model.
    class_names : mapping of str to str, or None
        Label → name, only where the dataset's documentation says which label is which.
    """

    task: str = GENERIC_TASK
    class_names: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for text in (self.task, *(self.class_names or {}).values()):
            if not text.strip() or "\n" in text:
                raise InputError("A dataset card's texts are single lines.", where="task, class_names", got=repr(text))


def card_names() -> list[str]:
    """Datasets that have a card."""
    return sorted(path.stem for path in (resource_dir("prompts") / "cards").glob("*.yaml"))


def load_card(dataset: str) -> DatasetCard:
    """The card in `prompts/cards/<dataset>.yaml`, or the generic one where there is none.

    Raises
    ------
    InputError
        When the card cannot be read: file, line, and what is wrong.
    """
    if dataset not in card_names():  # looked up in the listing, so no name can lead out of the folder
        return DatasetCard()
    path = resource_dir("prompts") / "cards" / f"{dataset}.yaml"
    values, lines = read_yaml(path)
    for key in values:
        if key not in ("task", "class_names"):
            where = f"{path}{line_of(lines, (key,))}"
            raise InputError("Unknown key in a dataset card.", where=where, got=key, allowed="task, class_names")
    names = values.get("class_names")
    texts = names if isinstance(names, dict) else {"class_names": names or ""}
    wrong = _not_text({"task": values.get("task"), **texts})
    if wrong:
        where = f"{path}{line_of(lines, ('class_names', wrong))}"
        raise InputError("Labels and texts of a card are text; put them in quotes.", where=where, got=wrong)
    return DatasetCard(task=values["task"], class_names=names)


def _not_text(values: Mapping[Any, Any]) -> str | None:
    """The first key that, or whose value, YAML did not read as text: `1: …` is a number where the label is "1"."""
    return next((str(k) for k, v in values.items() if not isinstance(k, str) or not isinstance(v, str)), None)
