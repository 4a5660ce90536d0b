"""Every figure against scikit-learn or a computation by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from vlm_tsc.errors import InputError
from vlm_tsc.evaluate.metrics import expected_calibration_error, metrics, metrics_document
from vlm_tsc.evaluate.predictions import Prediction, predictions_of

CLASSES = ("1", "2", "10")  # numeric order, which is not the alphabetic one that scikit-learn assumes of labels


def random_predictions(n_cases=200, classes=CLASSES, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(len(classes), size=n_cases)
    logits = rng.normal(size=(n_cases, len(classes))) + 1.5 * np.eye(len(classes))[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (
        predictions_of(map(str, range(n_cases)), np.array(classes)[true], probabilities, classes),
        true,
        probabilities,
    )


def with_generated(rows, texts):
    """`texts`: what each case generated, which is its own parsed label unless it is "?"."""
    return [
        Prediction(row.id, row.true, row.predicted, row.probabilities, text, None if text == "?" else text)
        for row, text in zip(rows, texts, strict=True)
    ]


@pytest.mark.parametrize("classes", [CLASSES, ("-1", "1")])
def test_figures_equal_scikit_learn(classes):
    rows, true, probabilities = random_predictions(classes=classes)
    predicted = probabilities.argmax(axis=1)
    found = metrics(rows, classes)
    assert found["accuracy"] == found["scored_accuracy"] == sk.accuracy_score(true, predicted)
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(true, predicted))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(true, predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(true, probabilities))
    scores = probabilities[:, 1] if len(classes) == 2 else probabilities
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(true, scores, multi_class="ovr"))
    assert found["confusion_matrix"] == sk.confusion_matrix(true, predicted).tolist()
    assert found["prediction_histogram"] == {name: int((predicted == i).sum()) for i, name in enumerate(classes)}
    assert found["n_cases"] == 200 and found["undefined"] == {} and found["warnings"] == []
    assert found["unparsed_rate"] is found["generated_accuracy"] is found["agreement"] is None


def test_calibration_error_of_a_worked_example():
    # bin (.9333, 1]: .95 and .99, one of them right; bin (.5333, .6]: .6, right; bin (.2667, .3333]: 1/3, wrong
    confidence = np.array([0.95, 0.99, 0.6, 1 / 3])
    correct = np.array([True, False, True, False])
    expected = (2 * abs(0.5 - 0.97) + abs(1 - 0.6) + abs(0 - 1 / 3)) / 4
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


def test_calibration_error_equals_a_loop_over_bins():
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(size=500), rng.uniform(size=500) < 0.6
    total = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(confidence, correct) == pytest.approx(total)
    assert expected_calibration_error(np.ones(3), np.array([True, True, True])) == 0


def test_a_class_that_the_test_part_lacks():
    rows, true, probabilities = random_predictions()
    kept = [i for i in range(len(rows)) if true[i] != 1]
    found = metrics([rows[i] for i in kept], CLASSES)
    recalls = [(probabilities[kept].argmax(1)[true[kept] == i] == i).mean() for i in (0, 2)]
    aurocs = [sk.roc_auc_score(true[kept] == i, probabilities[kept, i]) for i in (0, 2)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["auroc"] == pytest.approx(np.mean(aurocs))
    assert found["log_loss"] == pytest.approx(-np.log(probabilities[kept, true[kept]]).mean())
    assert found["confusion_matrix"][1] == [0, 0, 0]


def test_one_class_only_has_no_auroc_and_says_why():
    found = metrics([Prediction("a", "1", "1", {"1": 0.9, "2": 0.1})], ("1", "2"))
    assert found["auroc"] is None and "one class" in found["undefined"]["auroc"]
    assert found["accuracy"] == found["balanced_accuracy"] == found["macro_f1"] == 1.0


def test_certain_and_wrong_is_clipped_not_infinite():
    found = metrics(
        [Prediction("a", "1", "2", {"1": 0.0, "2": 1.0}), Prediction("b", "2", "2", {"1": 0.0, "2": 1.0})], ("1", "2")
    )
    assert 10 < found["log_loss"] < 50


def test_generated_answers_that_name_no_class_are_wrong():
    rows = predictions_of(
        "abcd", ["1", "1", "2", "2"], np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), ("1", "2")
    )
    rows = with_generated(rows, ["1", "?", "1", "2"])
    found = metrics(rows, ("1", "2"))
    assert (found["accuracy"], found["generated_accuracy"]) == (0.75, 0.5)
    assert (found["unparsed_rate"], found["agreement"]) == (0.25, 0.25)

    generated = metrics(rows, ("1", "2"), answers="generate")
    assert (generated["accuracy"], generated["scored_accuracy"]) == (0.5, 0.75)
    assert generated["balanced_accuracy"] == 0.5
    assert generated["confusion_matrix"] == [[1, 0], [1, 1]]
    assert generated["prediction_histogram"] == {"1": 2, "2": 1}
    assert generated["macro_f1"] == pytest.approx((2 * 1 / (2 + 2) + 2 * 1 / (1 + 2)) / 2)


def test_one_answer_for_everything_is_warned_about():
    always = np.tile([0.9, 0.1], (100, 1))
    found = metrics(predictions_of(map(str, range(100)), ["1"] * 60 + ["2"] * 40, always, ("1", "2")), ("1", "2"))
    assert found["warnings"] == ["100.0 % of the answers are '1'; the commonest class has 60.0 % of the cases"]
    honest = predictions_of(map(str, range(100)), ["1"] * 100, always, ("1", "2"))
    assert metrics(honest, ("1", "2"))["warnings"] == []


@pytest.mark.parametrize(
    ("rows", "answers", "says"),
    [
        ([], "score", "no predictions"),
        ([Prediction("a", "3", "1", {"1": 1.0, "2": 0.0})], "score", "classes are not the dataset's"),
        ([Prediction("a", "1", "1", {"1": 1.0})], "score", "classes are not the dataset's"),
        ([Prediction("a", "1", "1", {"1": 1.0, "2": 0.0})], "generate", "Nothing was generated"),
        ([Prediction("a", "1", "1", {"1": 1.0, "2": 0.0})], "both", "Unknown answer mode"),
    ],
)
def test_what_cannot_be_measured_is_refused(rows, answers, says):
    with pytest.raises(InputError, match=says):
        metrics(rows, ("1", "2"), answers=answers)


def test_the_document_has_the_keys_of_the_design_and_is_json():
    rows, _, probabilities = random_predictions()
    blank = predictions_of([row.id for row in rows], [row.true for row in rows], probabilities[::-1], CLASSES)
    document = metrics_document(
        with_generated(rows, [row.predicted for row in rows]),
        CLASSES,
        classifier="llava",
        dataset="Made",
        split="official",
        seed=1,
        commit="abc",
        n_train=30,
        base="plot-llava-mini",
        data_repr="BASELINE",
        blank=blank,
        train_seconds=2.5,
        peak_memory_mb=100.0,
    )
    designed = (
        "accuracy balanced_accuracy macro_f1 log_loss auroc ece unparsed_rate generated_accuracy accuracy_blank_image "
        "n_cases dataset split seed base classifier train_seconds peak_memory_mb commit"
    )
    assert list(document)[:18] == designed.split()
    assert document["accuracy_blank_image"] == metrics(blank, CLASSES)["accuracy"] != document["accuracy"]
    assert document["agreement"] == 1.0 and document["unparsed_rate"] == 0.0
    generated = metrics_document(
        with_generated(rows, ["?"] * len(rows)),
        CLASSES,
        classifier="llava",
        dataset="Made",
        split="official",
        seed=1,
        commit="abc",
        n_train=30,
        answers="generate",
        blank=blank,  # scored only
    )
    assert generated["accuracy"] == 0.0
    assert generated["accuracy_blank_image"] == document["accuracy_blank_image"]
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document and math.isfinite(document["ece"])
