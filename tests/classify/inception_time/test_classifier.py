"""InceptionTimeClassifier keeps aeon's contract: its checks, saving, loading, pickling; and goes on from a model."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from aeon.testing.estimator_checking import check_estimator

from tests.conftest import make_set
from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.inception_time.ensemble import train_ensemble
from vlm_tsc.classify.inception_time.hyperparameters import Hyperparameters
from vlm_tsc.classify.model_folder import FACTS, WEIGHTS
from vlm_tsc.errors import InputError

SMALL = {"filters": 2, "depth": 3, "models": 2, "batch_size": 8, "lr": 0.01}


def small(epochs=2, **options):
    return InceptionTimeClassifier(**SMALL, epochs=epochs, **options)


@pytest.fixture(scope="module")
def fitted():
    train = make_set(12, 0)
    return small(40).fit(train.X, train.y)


def test_aeons_estimator_checks():
    results = check_estimator(InceptionTimeClassifier, raise_exceptions=True, verbose=False)
    assert results and all(outcome == "PASSED" for outcome in results.values()), results


def test_it_learns_and_its_probabilities_are_the_mean_over_the_members(fitted):
    test = make_set(10, 5)
    assert (fitted.predict(test.X) == test.y).all()
    network, cases = fitted.ensemble_.network, [fitted.ensemble_.scaling(case) for case in test.X]
    x = torch.tensor(np.stack(cases), dtype=torch.float32)[:, None].expand(-1, 2, -1, -1)
    with torch.no_grad():
        expected = network.eval()(x).softmax(2).mean(1)
    np.testing.assert_allclose(fitted.predict_proba(test.X), expected, atol=1e-6)


def test_saved_loaded_and_pickled_classifiers_answer_alike(fitted, tmp_path):
    X = make_set(6, 3).X
    expected = fitted.predict_proba(X)
    fitted.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [FACTS, WEIGHTS]
    loaded = InceptionTimeClassifier.load(tmp_path / "model")
    assert loaded.get_params() == fitted.get_params()
    for other in (loaded, pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert other.predict(X).tolist() == fitted.predict(X).tolist()


def test_labels_come_back_in_the_type_they_came_in(tmp_path):
    train = make_set(12, 0)
    model = small().fit(train.X, np.where(train.y == "up", 10, -1))
    model.save(tmp_path)
    for one in (model, InceptionTimeClassifier.load(tmp_path)):
        assert one.classes_.tolist() == [-1, 10] and one.classes_.dtype.kind == "i"
        assert set(one.predict(train.X).tolist()) <= {-1, 10}


def test_unequal_lengths_and_several_channels():
    train = make_set(12, 0, n_channels=3)
    X = [case[:, : 18 + i] for i, case in enumerate(train.X)]
    model = small(30).fit(X, train.y)
    together = model.predict_proba(X)
    assert (model.classes_[together.argmax(1)] == train.y).all()
    alone = np.concatenate([model.predict_proba([case]) for case in X])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_units_do_not_matter():
    train = make_set(12, 0)
    X = train.X + 3 * np.random.default_rng(1).normal(size=(12, 1, 1))  # not z-normalised
    plain, other = small().fit(X, train.y), small().fit(X * 1000 - 50, train.y)
    np.testing.assert_allclose(plain.predict_proba(X), other.predict_proba(X * 1000 - 50), atol=1e-4)


def test_the_same_seed_gives_the_same_and_another_does_not():
    train = make_set(12, 0)
    first, again, other = (small(random_state=seed).fit(train.X, train.y).predict_proba(train.X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_finished_folder_is_not_trained_again_and_another_model_is_refused(tmp_path):
    train = make_set(12, 0)
    folder = str(tmp_path / "model")
    first = small(model_dir=folder).fit(train.X, train.y)
    stamp = (tmp_path / "model" / WEIGHTS).stat().st_mtime_ns
    again = small(model_dir=folder).fit(train.X, train.y)
    assert (tmp_path / "model" / WEIGHTS).stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(first.predict_proba(train.X), again.predict_proba(train.X))
    with pytest.raises(InputError, match="other data or settings"):
        small(3, model_dir=folder).fit(train.X, train.y)


def test_going_on_from_a_model_keeps_its_head_where_the_classes_are_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "first")
    train = make_set(12, 4)
    rates = {"lr": 1e-12}  # so small that the weights stay what they were
    options = {**SMALL, **rates, "epochs": 1, "start_from": str(tmp_path / "first")}
    same = InceptionTimeClassifier(**options).fit(train.X, train.y)
    for name, value in fitted.ensemble_.network.named_parameters():
        torch.testing.assert_close(same.ensemble_.network.get_parameter(name), value, rtol=0, atol=1e-9)

    three = np.where(np.arange(12) % 3 == 0, "flat", train.y)
    other = InceptionTimeClassifier(**options).fit(train.X, three)
    assert other.predict_proba(train.X).shape == (12, 3)
    fresh = InceptionTimeClassifier(**{**options, "start_from": None}).fit(train.X, three)
    for name, value in other.ensemble_.network.named_parameters():
        origin = fresh if name in ("head", "bias") else fitted
        torch.testing.assert_close(value, origin.ensemble_.network.get_parameter(name), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "n_channels", "says"),
    [
        ({"filters": 3}, 1, "another size"),
        ({"models": 1}, 1, "another size"),
        ({}, 2, "another number of channels"),
    ],
)
def test_a_model_of_another_shape_cannot_be_gone_on_from(fitted, tmp_path, options, n_channels, says):
    fitted.save(tmp_path)
    train = make_set(8, 0, n_channels=n_channels)
    with pytest.raises(InputError, match=says):
        InceptionTimeClassifier(**{**SMALL, **options}, epochs=1, start_from=str(tmp_path)).fit(train.X, train.y)


def test_wrong_hyperparameters_and_channels_are_refused(fitted, tmp_path):
    train = make_set(8, 0)
    with pytest.raises(InputError, match="cannot be used") as caught:
        InceptionTimeClassifier(filters=0).fit(train.X, train.y)
    assert "filters" in str(caught.value)
    fitted.save(tmp_path)  # aeon knows the channels of what was fitted here, not of what is loaded
    with pytest.raises(InputError, match="another number of channels"):
        InceptionTimeClassifier.load(tmp_path).predict(make_set(4, 0, n_channels=2).X)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (WEIGHTS, b"", "not of one model"),
        (FACTS, b"{", "no model of InceptionTime"),
        (FACTS, b'{"classifier": "other", "format": 1}', "other, format 1"),
    ],
)
def test_a_broken_model_folder_is_refused(fitted, tmp_path, name, content, says):
    fitted.save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        InceptionTimeClassifier.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="no finished model"):
        InceptionTimeClassifier.load(tmp_path)


def test_it_goes_on_with_each_class_in_its_own_row_whatever_their_order(tmp_path, caplog):
    """Runs order classes as text, tables by number."""
    random, names = np.random.default_rng(0), ["1", "2", "10"]
    codes = np.arange(18) % 3
    X = list(4.0 * codes[:, None, None] + random.normal(size=(18, 1, 12)))
    sizes = Hyperparameters(filters=2, depth=3, models=2, batch_size=18, epochs=2, lr=0.05)
    first = train_ensemble(X, codes, names, sizes)
    by_text = sorted(names)
    other = np.array([by_text.index(names[code]) for code in codes])
    short = sizes.model_copy(update={"epochs": 1, "lr": 1e-12})
    with caplog.at_level("WARNING"):
        again = train_ensemble(X, other, by_text, short, start=first)
    assert "begins anew" not in caplog.text
    for name, rows in (("head", 1), ("bias", 1)):
        before, after = first.network.state_dict()[name], again.network.state_dict()[name]
        for i, label in enumerate(by_text):
            torch.testing.assert_close(after.select(rows, i), before.select(rows, names.index(label)))
    with caplog.at_level("WARNING"):
        train_ensemble(X, other, ["a", "b", "c"], short, start=first)
    assert "the last layer begins anew" in caplog.text
