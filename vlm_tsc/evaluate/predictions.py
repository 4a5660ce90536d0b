"""predictions.jsonl: what a classifier answered, one case a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm_tsc.errors import InputError
from vlm_tsc.files import write_text


@dataclass(frozen=True)
class Prediction:
    """The answer to one case.

    Attributes
    ----------
    id : str
        The case's id, as in its `SeriesSet`.
    true : str
        Its class.
    predicted : str
        The class with the highest probability (`score`).
    probabilities : dict of str to float
        Every class of the dataset; the values sum to 1.
    generated : str or None
        The text that greedy decoding wrote (`generate`); None when nothing was generated.
    parsed : str or None
        The class which that text names; None when nothing was generated or the text names no class.
    """

    id: str
    true: str
    predicted: str
    probabilities: dict[str, float]
    generated: str | None = None
    parsed: str | None = None


def predictions_of(
    ids: Iterable[str], true: Iterable[str], probabilities: np.ndarray, class_names: tuple[str, ...]
) -> list[Prediction]:
    """Predictions from an array of probabilities; of equal ones the first class in `class_names` wins.

    Parameters
    ----------
    ids, true : iterables of str, n_cases long
    probabilities : ndarray (n_cases, n_classes), columns in the order of `class_names`
    class_names : tuple of str
    """
    return [
        Prediction(str(id_), str(label), class_names[int(row.argmax())], _by_class(class_names, row))
        for id_, label, row in zip(ids, true, probabilities, strict=True)
    ]


def _by_class(class_names: Sequence[str], row: np.ndarray) -> dict[str, float]:
    return dict(zip(class_names, row.tolist(), strict=True))


def write_predictions(path: Path | str, rows: Iterable[Prediction]) -> Path:
    """Write `rows` as JSON lines, atomically."""
    return write_text(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read predictions.jsonl, every line checked.

    Raises
    ------
    InputError
        That names the file and the line: not JSON, a key missing or unknown, a class that has no probability,
        probabilities that do not sum to 1, an id that came before; also when the file is missing or empty.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("There is no such file of predictions.", where=path, fix="python eval/score.py RUN writes it")
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise InputError("The file of predictions is empty.", where=path, fix="delete it and evaluate again")
    rows: list[Prediction] = []
    line_of: dict[str, int] = {}
    # split at "\n" only: splitlines() would also cut inside a generated text that holds a U+2028
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        where = f"{path}, line {number}"
        row = prediction_of(line, where)
        if row.id in line_of:
            got = f"{row.id}, also on line {line_of[row.id]}"
            raise InputError("Two predictions for one case.", where=where, got=got)
        line_of[row.id] = number
        rows.append(row)
    return rows


_KEYS = tuple(Prediction.__dataclass_fields__)


def prediction_of(line: str, where: str) -> Prediction:
    """One line of predictions.jsonl.

    Parameters
    ----------
    where : str
        File and line, for messages.

    Raises
    ------
    InputError
        When the line is no prediction.
    """
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"Not a JSON object: {error.msg}.", where=where, got=line[:80] or "an empty line") from None
    if not isinstance(value, dict) or set(value) != set(_KEYS):
        allowed = f"an object with the keys {', '.join(_KEYS)}"
        raise InputError("Not a prediction.", where=where, got=line[:80], allowed=allowed)
    problem = _problem(value)
    if problem:
        raise InputError(problem[0], where=where, got=problem[1], allowed=problem[2])
    return Prediction(**value)


def _problem(value: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """What is wrong with a line's values: the sentence, what was received, what is allowed."""
    texts = [key for key in ("id", "true", "predicted") if not isinstance(value[key], str)]
    texts += [key for key in ("generated", "parsed") if not isinstance(value[key], str | None)]
    if texts:
        return f"`{texts[0]}` is not a text.", value[texts[0]], "a text, or null for generated and parsed"
    probabilities = value["probabilities"]
    are_good = isinstance(probabilities, dict) and all(map(_is_probability, probabilities.values()))
    if not probabilities or not are_good:
        return "`probabilities` does not give every class a number from 0 to 1.", probabilities, None
    if abs(sum(probabilities.values()) - 1) > 1e-3:
        return "The probabilities do not sum to 1.", sum(probabilities.values()), None
    for key in ("true", "predicted", "parsed"):
        if value[key] is not None and value[key] not in probabilities:
            return f"`{key}` names a class that has no probability.", value[key], list(probabilities)
    if value["parsed"] is not None and value["generated"] is None:
        return "`parsed` without `generated`.", value["parsed"], "null"
    return None


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e-6 <= value <= 1 + 1e-6  # NaN is not
