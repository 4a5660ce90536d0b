from __future__ import annotations

import json

import numpy as np
import pytest

from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.predictions import Prediction, predictions_of, read_predictions, write_predictions

GOOD = {
    "id": "test-00000",
    "true": "-1",
    "predicted": "10",
    "probabilities": {"-1": 0.25, "10": 0.75},
    "generated": "B",
    "parsed": "10",
}


def test_what_was_written_is_read_back(tmp_path):
    rows = [
        Prediction("test-00000", "-1", "10", {"-1": 0.25, "10": 0.75}, "B", "10"),
        Prediction("test-00001", "10", "10", {"-1": 1 / 3, "10": 2 / 3}, "é\u2028 \n\x85", None),
        Prediction("test-00002", "10", "-1", {"-1": 1.0, "10": 0.0}),
    ]
    path = write_predictions(tmp_path / "predictions.jsonl", rows)
    assert read_predictions(path) == rows
    assert len(path.read_text(encoding="utf-8").split("\n")) == 4
    assert set(json.loads(path.read_text(encoding="utf-8").split("\n")[0])) == set(GOOD)


def test_of_equal_probabilities_the_first_class_wins():
    rows = predictions_of(("a", "b"), np.array(["2", "10"]), np.array([[0.5, 0.5], [0.1, 0.9]]), ("2", "10"))
    assert [row.predicted for row in rows] == ["2", "10"]
    assert rows[1].probabilities == {"2": 0.1, "10": 0.9}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"true": 1}, "`true` is not a text"),
        ({"parsed": 3}, "`parsed` is not a text"),
        ({"true": "7"}, "`true` names a class that has no probability"),
        ({"predicted": "B"}, "`predicted` names a class that has no probability"),
        ({"parsed": "B"}, "`parsed` names a class that has no probability"),
        ({"generated": None}, "`parsed` without `generated`"),
        ({"probabilities": {"-1": 0.5, "10": 0.6}}, "do not sum to 1"),
        ({"probabilities": {"-1": float("nan"), "10": 1.0}}, "does not give every class a number"),
        ({"probabilities": {}}, "does not give every class a number"),
        ({"probabilities": [0.5, 0.5]}, "does not give every class a number"),
        ({"extra": 1}, "Not a prediction"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, change, says):
    path = tmp_path / "predictions.jsonl"
    bad = GOOD | {"id": "test-00001"} | change
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(bad) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        read_predictions(path)
    assert f"{path}, line 2" in str(caught.value)


@pytest.mark.parametrize("line", ['{"id": "test-0', "", "[1]"])
def test_a_line_that_is_no_object_is_named(tmp_path, line):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n" + json.dumps(GOOD) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2"):
        read_predictions(path)


def test_a_case_answered_twice_a_missing_and_an_empty_file(tmp_path):
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(InputError, match="no such file"):
        read_predictions(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="empty"):
        read_predictions(path)
    path.write_text((json.dumps(GOOD) + "\n") * 2, encoding="utf-8")
    with pytest.raises(InputError, match="also on line 1"):
        read_predictions(path)
