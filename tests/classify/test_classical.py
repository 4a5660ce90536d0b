from __future__ import annotations

import numpy as np
import pytest

from vlm_tsc.archive.series_set import SeriesSet
from vlm_tsc.classify import classical, from_aeon
from vlm_tsc.errors import InputError


def made_set(lengths, labels=("-1", "10"), part="train", seed=0, n_channels=1):
    """Sines of two frequencies, one per class, with noise; case i has lengths[i] points."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for i, length in enumerate(lengths):
        t = np.linspace(0, 2 * np.pi, length)
        X.append(
            np.stack([np.sin((1 + 2 * (i % 2)) * t + c) + 0.1 * rng.normal(size=length) for c in range(n_channels)])
        )
        y.append(labels[i % 2])
    equal = len(set(lengths)) == 1
    ids = tuple(f"{part}-{i:05d}" for i in range(len(lengths)))
    return SeriesSet(np.stack(X) if equal else X, np.array(y), labels, "Made", ids)


def answers(name, train, test, chunk=7):
    X_train, X_test = classical.as_needed(name, train, test)
    classifier = classical.make_baseline(name).fit(X_train, train.y)
    return classifier, X_test, np.concatenate(list(classical.probabilities_in_chunks(classifier, X_test, chunk)))


@pytest.mark.parametrize("name", classical.BASELINES)
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("lengths", [[20] * 12, list(range(20, 32))])
def test_chunks_equal_the_classifiers_own_predict_proba(name, n_channels, lengths):
    train = made_set(lengths, n_channels=n_channels)
    test = made_set([length + 3 for length in lengths], part="test", seed=1, n_channels=n_channels)
    classifier, X_test, probabilities = answers(name, train, test)
    np.testing.assert_array_equal(probabilities, classifier.predict_proba(X_test))
    assert list(classifier.classes_) == ["-1", "10"]
    if name != "majority":
        assert (classifier.classes_[probabilities.argmax(axis=1)] == test.y).all()


@pytest.mark.parametrize(("name", "accuracy"), [("1nn-ed", 0.9133), ("1nn-dtw", 0.9067)])
def test_accuracy_on_gunpoint_is_the_archives(name, accuracy):
    """The UCR archive gives 1NN error rates 0.0867 (Euclidean) and 0.0933 (DTW, full window)."""
    from aeon.datasets import load_gunpoint

    parts = {}
    for part in ("train", "test"):
        X, y = load_gunpoint(split=part)
        parts[part] = SeriesSet(X, y, ("1", "2"), "GunPoint", tuple(f"{part}-{i:05d}" for i in range(len(X))))
    classifier, _, probabilities = answers(name, parts["train"], parts["test"], chunk=150)
    found = classifier.classes_[probabilities.argmax(axis=1)] == parts["test"].y
    assert found.mean() == pytest.approx(accuracy, abs=5e-5)


def test_majority_answers_the_share_of_every_class():
    train = made_set([9] * 5)
    _, _, probabilities = answers("majority", train, made_set([9] * 4, part="test"))
    np.testing.assert_allclose(probabilities, [[0.6, 0.4]] * 4)


def test_only_the_euclidean_distance_needs_one_length():
    train, test = made_set([10, 30]), made_set([40, 20], part="test")
    X_train, X_test = classical.as_needed("1nn-ed", train, test)
    assert X_train.shape == X_test.shape == (2, 1, 30)
    np.testing.assert_array_equal(X_train[1], train.X[1])
    np.testing.assert_allclose(X_test[0, 0, [0, -1]], test.X[0][0, [0, -1]])
    assert classical.as_needed("1nn-dtw", train, test) == (train.X, test.X)
    X_train, X_test = classical.as_needed("1nn-ed", made_set([10, 10]), made_set([12, 12], part="test"))
    assert X_train.shape == X_test.shape == (2, 1, 10)


def test_the_estimate_follows_the_work(monkeypatch):
    """A clock that counts cells instead of seconds: the estimate is exact when the work is proportional."""

    def seconds(_name, X_train, X_test):
        return 1e-3 * len(X_train) * len(X_test)

    monkeypatch.setattr(classical, "_seconds", seconds)
    train, test = made_set([5] * 700), made_set([5] * 90, part="test")
    assert classical.seconds_per_case("1nn-dtw", train.X, test.X) == pytest.approx(0.7)
    assert classical.seconds_per_case("majority", train.X, test.X) == 0.0


def test_one_hiccup_of_the_machine_is_not_the_estimate(monkeypatch):
    hiccups = [0.0, 0.9]  # compiling, then two cases against two that took a second

    def seconds(_name, X_train, X_test):
        return hiccups.pop(0) if hiccups else 1e-5 * len(X_train) * len(X_test)

    monkeypatch.setattr(classical, "_seconds", seconds)
    train, test = made_set([5] * 700), made_set([5] * 90, part="test")
    assert classical.seconds_per_case("1nn-ed", train.X, test.X) == pytest.approx(0.007)


def test_the_estimate_of_a_real_run_is_positive_and_needs_no_more_than_the_cases():
    train, test = made_set([5] * 2), made_set([6] * 2, part="test")
    assert 0 < classical.seconds_per_case("1nn-dtw", list(train.X), list(test.X)) < 60


def test_chunks_hold_at_least_one_case_and_not_too_many():
    assert [classical.chunk_size(seconds) for seconds in (0.0, 0.01, 100.0)] == [1000, 200, 1]


def test_an_unknown_baseline_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 1nn-dtw") as caught:
        classical.make_baseline("1nn_dtw")
    assert "majority, 1nn-ed, 1nn-dtw" in str(caught.value)


def test_every_classifier_of_aeon_is_known_without_importing_it():
    """aeon's own discovery, which imports everything, finds none that is not known and not left out on purpose."""
    from aeon.utils.discovery import all_estimators

    modules = {name: kind.__module__.split(".")[2] for name, kind in all_estimators(type_filter="classifier")}
    wanted = {name for name, family in modules.items() if family not in (*from_aeon.LEFT_OUT, "dummy")}
    assert wanted and not wanted - set(from_aeon.aeon_classes())


@pytest.mark.parametrize("name", ["quant", "SummaryClassifier"])
@pytest.mark.parametrize("lengths", [[20] * 12, list(range(20, 32))])
def test_a_classifier_of_aeon_takes_any_lengths_and_answers_by_its_seed(name, lengths):
    train = made_set(lengths)
    X_train, X_test = classical.as_needed(name, train, made_set([length + 3 for length in lengths], seed=1))
    found = [
        classical.make_baseline(name, seed).fit(X_train, train.y).predict_proba(X_test).tolist() for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]
    assert not {"random_state", "n_jobs"} & set(classical.parameters(name))


def test_what_aeon_cannot_make_or_take_is_refused():
    two_channels = made_set([20] * 6, n_channels=2)
    with pytest.raises(InputError, match="takes one channel"):
        classical.as_needed("WEASEL_V2", two_channels, two_channels)
    with pytest.raises(InputError, match="aeon cannot make this classifier here"):
        classical.make_baseline("InceptionTimeClassifier")  # needs TensorFlow, which this project does not
    with pytest.raises(InputError, match=r"did you mean WEASEL_V2\?"):
        classical.make_baseline("WEASEL_V3")
