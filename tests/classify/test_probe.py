"""ProbeClassifier: aeon's contract, and features that are what they are said to be."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from aeon.testing.estimator_checking import check_estimator

from tests.conftest import make_set
from vlm_tsc.answer import model as model_module
from vlm_tsc.answer.batch import encode_prompts
from vlm_tsc.answer.features import features
from vlm_tsc.answer.model import load_model
from vlm_tsc.classify.probe import PARTS, ProbeClassifier
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder


class TinyProbe(ProbeClassifier):
    """On a base of seconds; at module level, because aeon pickles it by name."""

    folder = ""

    @classmethod
    def _get_test_params(cls, parameter_set="default"):
        return {**super()._get_test_params(parameter_set), "base": cls.folder}


def test_aeons_estimator_checks(tiny_base, monkeypatch):
    monkeypatch.setattr(TinyProbe, "folder", str(tiny_base))
    results = check_estimator(TinyProbe, raise_exceptions=True, verbose=False)
    assert results and all(outcome == "PASSED" for outcome in results.values()), results


@pytest.mark.parametrize("part", PARTS)
def test_it_tells_rising_from_falling_series(tiny_base, part):
    train, test = make_set(24, 0), make_set(20, 1)
    probe = ProbeClassifier(str(tiny_base), part, {"precision": "fp32"}).fit(train.X, train.y)
    found = probe.predict(test.X)
    assert (found == test.y).mean() > 0.8
    assert pickle.loads(pickle.dumps(probe)).predict(test.X).tolist() == found.tolist()


def test_the_base_is_not_trained(tiny_base):
    before = {path.name: path.read_bytes() for path in tiny_base.iterdir()}
    train = make_set(8, 0)
    ProbeClassifier(str(tiny_base)).fit(train.X, train.y)
    assert before == {path.name: path.read_bytes() for path in tiny_base.iterdir()}


def test_the_base_is_opened_once_and_not_pickled(tiny_base, monkeypatch):
    opened = []
    monkeypatch.setattr(model_module, "load_model", lambda *how: opened.append(how) or load_model(*how))
    train = make_set(8, 0)
    probe = ProbeClassifier(str(tiny_base)).fit(train.X, train.y)
    expected = probe.predict(train.X).tolist()
    assert len(opened) == 1
    pickled = pickle.dumps(probe)
    assert len(pickled) < (tiny_base / "model.safetensors").stat().st_size
    again = pickle.loads(pickled)
    assert again.predict(train.X).tolist() == again.predict(train.X).tolist() == expected
    assert len(opened) == 2


def test_features_are_the_projectors_output_and_the_last_state(tiny_base):
    model, processor = load_model(tiny_base)
    presentation = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (32, 32))
    shown = [presentation.show(case) for case in make_set(5, 0).X]
    inputs = encode_prompts(processor, shown)
    with torch.no_grad():
        tokens = torch.stack(model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output)
        out = model(**inputs, output_hidden_states=True)
    columns = tokens.view(5, 4, 4, -1).mean(1).flatten(1)
    expected = torch.cat([tokens.mean(1), columns], dim=1).numpy()
    np.testing.assert_allclose(features(model, processor, shown, "vision", batch_size=2), expected, atol=1e-5)
    last = out.hidden_states[-1][:, -1].numpy()
    np.testing.assert_allclose(features(model, processor, shown, "decoder", batch_size=2), last, atol=1e-5)
