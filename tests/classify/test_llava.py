"""LlavaClassifier keeps aeon's contract: its own checks, saving, loading, pickling."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from aeon.testing.estimator_checking import check_estimator

from tests.conftest import make_set
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.classify.llava_settings import OTHERS, UNUSED, USED_GROUPS
from vlm_tsc.errors import InputError
from vlm_tsc.settings import GROUPS, Settings


@pytest.fixture(scope="module")
def classifier(tiny_base):
    options = {"precision": "fp32", "lora_dropout": 0.0}
    return LlavaClassifier(str(tiny_base), num_epochs=1, batch_size=4, settings=options)


@pytest.fixture(scope="module")
def fitted(classifier):
    train = make_set(12, 0)
    return classifier.clone().fit(train.X, train.y)


class TinyLlavaClassifier(LlavaClassifier):
    """The classifier on a base of seconds; at module level, because aeon pickles it by name."""

    folder = ""

    @classmethod
    def _get_test_params(cls, parameter_set="default"):
        return {**super()._get_test_params(parameter_set), "base": cls.folder}


def test_aeons_estimator_checks(tiny_base, monkeypatch):
    monkeypatch.setattr(TinyLlavaClassifier, "folder", str(tiny_base))
    results = check_estimator(TinyLlavaClassifier, raise_exceptions=True, verbose=False)
    assert results and all(outcome == "PASSED" for outcome in results.values()), results


def test_saved_loaded_and_pickled_classifiers_answer_alike(fitted, tmp_path):
    X = make_set(6, 3).X
    expected = fitted.predict_proba(X)
    assert expected.shape == (6, 2)
    fitted.save(tmp_path / "adapter")
    loaded = LlavaClassifier.load(tmp_path / "adapter", fitted.settings)
    np.testing.assert_allclose(loaded.predict_proba(X), expected, atol=1e-6)
    assert loaded.predict(X).tolist() == fitted.predict(X).tolist()
    data = pickle.dumps(fitted)
    np.testing.assert_allclose(pickle.loads(data).predict_proba(X), expected, atol=1e-6)


@pytest.mark.parametrize("name", [*UNUSED, "baselines", "split", "vlm_root"])
def test_a_setting_that_would_do_nothing_is_refused(classifier, name):
    train = make_set(4, 0)
    model = classifier.clone().set_params(settings={"precision": "fp32", name: None})
    with pytest.raises(InputError, match=rf"does not use this(.|\n)*got: +{name}(.|\n)*lora_r, .*views"):
        model.fit(train.X, train.y)


def test_the_names_of_what_it_uses_are_settings():
    assert {*UNUSED, *OTHERS} <= set(Settings.model_fields) and set(USED_GROUPS) <= set(GROUPS)


def test_labels_come_back_in_the_type_they_came_in(classifier):
    train = make_set(12, 0)
    model = classifier.clone().fit(train.X, np.where(train.y == "up", 10, -1))
    assert model.classes_.tolist() == [-1, 10]
    assert set(model.predict(train.X).tolist()) <= {-1, 10}


def test_unequal_lengths_and_several_channels(classifier):
    train = make_set(8, 0, n_channels=4)
    X = [case[:, : 20 + i] for i, case in enumerate(train.X)]
    assert classifier.clone().fit(X, train.y).predict_proba(X).shape == (8, 2)
