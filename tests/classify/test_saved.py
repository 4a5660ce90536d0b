"""One function opens every saved classifier, from a run's folder or the model in it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.conftest import make_set
from vlm_tsc.classify.inception_time.classifier import InceptionTimeClassifier
from vlm_tsc.classify.llava import LlavaClassifier
from vlm_tsc.classify.masked_transformer.classifier import MaskedTransformerClassifier
from vlm_tsc.classify.saved import find_saved, load_classifier, n_channels_of, n_timepoints_of
from vlm_tsc.config import resolved_yaml, settings_from
from vlm_tsc.errors import InputError

CASES = make_set(6, 3).X


def test_an_inception_time_from_its_model_and_from_its_run(tmp_path):
    train = make_set(8, 0)
    model = InceptionTimeClassifier(filters=2, depth=3, models=2, epochs=1, model_dir=str(tmp_path / "run" / "model"))
    expected = model.fit(train.X, train.y).predict_proba(CASES)
    for folder in ("run", "run/model"):
        loaded = load_classifier(tmp_path / folder)
        np.testing.assert_array_equal(loaded.predict_proba(CASES), expected)
        assert (n_channels_of(loaded), n_timepoints_of(loaded)) == (1, 30)


def test_a_masked_transformer_from_its_model_and_from_its_run(tmp_path):
    train = make_set(8, 0)
    options = {**MaskedTransformerClassifier._get_test_params(), "model_dir": str(tmp_path / "run" / "model")}
    expected = MaskedTransformerClassifier(**options).fit(train.X, train.y).predict_proba(CASES)
    for folder in ("run", "run/model"):
        loaded = load_classifier(tmp_path / folder)
        np.testing.assert_array_equal(loaded.predict_proba(CASES), expected)
        assert (n_channels_of(loaded), n_timepoints_of(loaded)) == (1, 30)


def test_a_llava_from_its_adapter_and_with_its_runs_own_settings(tiny_base, tmp_path):
    settings = {"precision": "fp32", "views": 2, "eval_batch_size": 3}
    train = make_set(8, 0)
    model = LlavaClassifier(str(tiny_base), num_epochs=1, batch_size=4, settings=settings).fit(train.X, train.y)
    model.save(tmp_path / "run" / "adapter")
    loaded = load_classifier(tmp_path / "run" / "adapter")
    assert loaded.predict_proba(CASES).shape == (6, 2) and (n_channels_of(loaded), n_timepoints_of(loaded)) == (1, 30)
    resolved = settings_from({"base": str(tiny_base), **settings, "seed": 0, "llava_root": tmp_path / "gone"})
    (tmp_path / "run" / "config.yaml").write_text(resolved_yaml(resolved))
    loaded = load_classifier(tmp_path / "run")
    assert (loaded.settings["views"], "llava_root" in loaded.settings) == (2, False)
    np.testing.assert_allclose(loaded.predict_proba(CASES), model.predict_proba(CASES), atol=1e-6)


def test_what_is_no_saved_classifier_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_saved(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no saved classifier"):
        find_saved(tmp_path)
    facts = tmp_path / "model.json"
    facts.write_text("[]")
    with pytest.raises(InputError, match="cannot be read"):
        find_saved(tmp_path)
    facts.write_text(json.dumps({"classifier": "oracle"}))
    with pytest.raises(InputError, match="opens no such classifier") as refused:
        find_saved(tmp_path)
    assert "inception-time" in str(refused.value)
