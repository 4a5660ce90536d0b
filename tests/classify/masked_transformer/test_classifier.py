"""MaskedTransformerClassifier keeps aeon's contract, and carries nothing from one dataset to the next unless asked."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from aeon.testing.estimator_checking import check_estimator

from tests.conftest import make_set
from vlm_tsc.archive.splits import official
from vlm_tsc.classify.epochs import LOG_FILE
from vlm_tsc.classify.masked_transformer import encoder_folder
from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier
from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.encoder_folder import write_encoder
from vlm_tsc.classify.masked_transformer.model import train_model
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.model_folder import FACTS, WEIGHTS
from vlm_tsc.errors import InputError

SIZES = {"width": 8, "layers": 1, "length": 16, "patch": 4}
SHAPE = Shape(**SIZES)
NOTES = {"name": "tiny", "task": "mae", "sets": ["Elsewhere"], "steps": 1}


def small(epochs=2, encoder="fresh", **options):
    sizes = SIZES if encoder == "fresh" and not options.get("start_from") else {}
    return MaskedTransformerClassifier(encoder, epochs=epochs, **{"lr": 0.01, "batch_size": 4, **sizes, **options})


@pytest.fixture(scope="module")
def fitted():
    train = make_set(12, 0)
    return small(30).fit(train.X, train.y)


@pytest.fixture
def encoder(tmp_path):
    write_encoder(tmp_path / "encoder", PatchEncoder(SHAPE, 77), NOTES)
    return str(tmp_path / "encoder")


def weights(model):
    return model.model_.network.state_dict()


def same(a, b):
    return all(torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


def test_aeons_estimator_checks():
    results = check_estimator(MaskedTransformerClassifier, raise_exceptions=True, verbose=False)
    assert results and all(outcome == "PASSED" for outcome in results.values()), results


def test_it_learns(fitted):
    test = make_set(10, 5)
    assert (fitted.predict(test.X) == test.y).all()


def test_saved_loaded_and_pickled_classifiers_answer_alike(fitted, tmp_path):
    X = make_set(6, 3).X
    expected = fitted.predict_proba(X)
    fitted.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [FACTS, WEIGHTS]
    loaded = MaskedTransformerClassifier.load(tmp_path / "model")
    for other in (loaded, pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert other.predict(X).tolist() == fitted.predict(X).tolist()


def test_labels_come_back_in_the_type_they_came_in(tmp_path):
    train = make_set(12, 0)
    model = small().fit(train.X, np.where(train.y == "up", 10, -1))
    model.save(tmp_path)
    for one in (model, MaskedTransformerClassifier.load(tmp_path)):
        assert one.classes_.tolist() == [-1, 10] and set(one.predict(train.X).tolist()) <= {-1, 10}


@pytest.mark.parametrize("pretrained", [False, True])
def test_unequal_lengths_and_several_channels(pretrained, encoder):
    train = make_set(12, 0, n_channels=3)
    X = [case[:, : 18 + i] for i, case in enumerate(train.X)]
    model = small(30, encoder if pretrained else "fresh", lr=0.002 if pretrained else 0.01).fit(X, train.y)
    together = model.predict_proba(X)
    assert (model.classes_[together.argmax(1)] == train.y).all()
    np.testing.assert_allclose(together, np.concatenate([model.predict_proba([case]) for case in X]), atol=1e-5)
    longer = [np.concatenate([case, case], axis=1) for case in X]  # than any training case
    assert np.isfinite(model.predict_proba(longer)).all()


def test_units_do_not_matter():
    train = make_set(12, 0)
    X = train.X + 3 * np.random.default_rng(1).normal(size=(12, 1, 1))  # not z-normalised
    plain, other = small().fit(X, train.y), small().fit(X * 1000 - 50, train.y)
    np.testing.assert_allclose(plain.predict_proba(X), other.predict_proba(X * 1000 - 50), atol=1e-4)


def test_nothing_is_carried_from_one_dataset_to_the_next(encoder):
    first, second = make_set(12, 0), make_set(10, 4, n_channels=2, length=50)
    for name in ("fresh", encoder):
        model = small(encoder=name).fit(first.X, first.y)
        assert same(model.fit(second.X, second.y), small(encoder=name).fit(second.X, second.y))
    assert encoder_folder.read_encoder(encoder).encoder().embed.weight.equal(PatchEncoder(SHAPE, 77).embed.weight)


def test_a_pretrained_encoder_is_where_training_begins(encoder):
    train = make_set(12, 0)
    linear = small(encoder=encoder, linear=True).fit(train.X, train.y)
    expected = PatchEncoder(SHAPE, 77).state_dict()
    assert all(torch.equal(weights(linear)[f"encoder.{name}"], value) for name, value in expected.items())
    whole = small(encoder=encoder, lr=1e-12, epochs=1).fit(train.X, train.y)
    torch.testing.assert_close(weights(whole)["encoder.embed.weight"], expected["embed.weight"], rtol=0, atol=1e-9)


def test_the_default_encoder_is_the_shipped_one_and_nothing_else(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(encoder_folder, "SHIPPED", tmp_path / "encoder")
    assert encoder_folder.find_encoder("default").label == encoder_folder.read_encoder(encoder).label
    assert encoder_folder.find_encoder("fresh") is None
    monkeypatch.setattr(encoder_folder, "SHIPPED", tmp_path / "nothing")
    with pytest.raises(InputError, match="the package's pre-trained encoder is missing"):
        encoder_folder.find_encoder("default")
    with pytest.raises(InputError, match="encoder is missing"):
        MaskedTransformerClassifier().fit(make_set(12, 0).X, make_set(12, 0).y)


def test_the_shipped_encoder_is_small_and_has_seen_synthetic_series_alone():
    shipped = encoder_folder.find_encoder("default")
    assert shipped is not None and shipped.sets == [] and len(shipped.seen) == 0
    assert shipped.facts["synthetic"] and shipped.facts["config"]["datasets"] == ["synthetic"]
    files = list(encoder_folder.SHIPPED.iterdir())
    assert {path.name for path in files} == {"model.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 5e6
    weights = shipped.encoder().state_dict().values()
    assert all(torch.isfinite(value).all() for value in weights)


def test_from_four_hundred_cases_on_validation_is_carved_from_train_by_the_archives_rule(tmp_path):
    train = make_set(400, 0)
    model = small(model_dir=str(tmp_path / "a"), random_state=5).fit(train.X, train.y)
    codes = np.searchsorted(["down", "up"], train.y)
    indices = official(codes, 400, 5)
    cases = [train.X[indices.train], train.X[indices.validation]]
    direct = train_model(
        list(cases[0]),
        codes[indices.train],
        ["down", "up"],
        model._hyperparameters(),
        random_state=5,
        validation=(list(cases[1]), codes[indices.validation]),
    )
    assert all(torch.equal(value, weights(model)[name]) for name, value in direct.network.state_dict().items())
    assert "valid_accuracy" in (tmp_path / "a" / LOG_FILE).read_text()
    small(1, model_dir=str(tmp_path / "b")).fit(train.X[:398], train.y[:398])
    assert "valid_accuracy" not in (tmp_path / "b" / LOG_FILE).read_text()


def test_a_finished_folder_is_not_trained_again_and_another_model_is_refused(tmp_path, encoder):
    train = make_set(12, 0)
    folder = str(tmp_path / "model")
    first = small(model_dir=folder).fit(train.X, train.y)
    stamp = (tmp_path / "model" / WEIGHTS).stat().st_mtime_ns
    assert same(first, small(model_dir=folder).fit(train.X, train.y))
    assert (tmp_path / "model" / WEIGHTS).stat().st_mtime_ns == stamp
    for other in ({"epochs": 3}, {"encoder": encoder}, {"random_state": 1}):
        with pytest.raises(InputError, match="other data or settings"):
            small(model_dir=folder, **other).fit(train.X, train.y)


def test_going_on_from_a_model_keeps_its_head_where_the_classes_are_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "first")
    train = make_set(12, 4)
    options = {"lr": 1e-12, "epochs": 1, "start_from": str(tmp_path / "first")}
    same_classes = small(**options).fit(train.X, train.y)
    for name, value in weights(fitted).items():
        torch.testing.assert_close(weights(same_classes)[name], value, rtol=0, atol=1e-9)
    three = small(**options).fit(train.X, np.where(np.arange(12) % 3 == 0, "flat", train.y))
    assert three.predict_proba(train.X).shape == (12, 3)
    torch.testing.assert_close(
        weights(three)["encoder.embed.weight"], weights(fitted)["encoder.embed.weight"], rtol=0, atol=1e-9
    )


def test_it_goes_on_with_each_class_in_its_own_row_whatever_their_order(fitted, caplog):
    train, first = make_set(12, 4), fitted.model_
    turned = first.classes[::-1]
    codes = np.array([turned.index(label) for label in train.y])
    short = first.hyperparameters.model_copy(update={"lr": 1e-12, "epochs": 1, **dict.fromkeys(SIZES)})
    again = train_model(list(train.X), codes, turned, short, start=first)
    torch.testing.assert_close(again.network.head.weight, first.network.head.weight.flip(0))
    np.testing.assert_allclose(again.probabilities(train.X), first.probabilities(train.X)[:, ::-1], atol=0.05)
    with caplog.at_level("WARNING"):
        train_model(list(train.X), codes, ["a", "b"], short, start=first)
    assert "the last layer begins anew" in caplog.text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 10}, "cannot be used"),
        ({"batch_size": 0}, "cannot be used"),
        ({"length": 18}, "do not go together"),
        ({"encoder": "nowhere"}, "no finished model"),
    ],
)
def test_wrong_settings_are_refused(options, says):
    train = make_set(8, 0)
    with pytest.raises(InputError, match=says):
        small(**options).fit(train.X, train.y)


def test_an_encoder_of_another_shape_is_refused(encoder, fitted, tmp_path):
    train = make_set(8, 0)
    with pytest.raises(InputError, match="another size"):
        small(encoder=encoder, width=16).fit(train.X, train.y)
    write_encoder(tmp_path / "three", PatchEncoder(SHAPE.model_copy(update={"n_channels": 3})), NOTES)
    with pytest.raises(InputError, match="another number of channels"):
        small(encoder=str(tmp_path / "three")).fit(train.X, train.y)
    fitted.save(tmp_path / "model")
    with pytest.raises(InputError, match="another number of channels"):
        MaskedTransformerClassifier.load(tmp_path / "model").predict(make_set(4, 0, n_channels=2).X)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (WEIGHTS, b"", "not of one model"),
        (FACTS, b"{", "no model of the masked transformer"),
        (FACTS, b'{"classifier": "inception-time", "format": 1}', "inception-time, format 1"),
    ],
)
def test_a_broken_model_folder_is_refused(fitted, tmp_path, name, content, says):
    fitted.save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        MaskedTransformerClassifier.load(tmp_path)


def test_a_broken_encoder_is_refused(encoder, tmp_path):
    (tmp_path / "encoder" / WEIGHTS).write_bytes(b"")
    with pytest.raises(InputError, match="no pre-trained encoder"):
        encoder_folder.read_encoder(encoder)
