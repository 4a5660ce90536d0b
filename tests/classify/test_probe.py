"""ProbeClassifier: aeon's contract, and features that are what they are said to be."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from aeon.testing.estimator_checking import check_estimator

from tests.conftest import make_set
from tests.replicas import make_replica
from vlm_tsc.answer import model as model_module
from vlm_tsc.answer.batch import encode_prompts
from vlm_tsc.answer.features import features
from vlm_tsc.answer.model import load_model
from vlm_tsc.bases import LORA_TARGETS, load_base
from vlm_tsc.classify.probe import PARTS, ProbeClassifier
from vlm_tsc.conversation.answers import AnswerMap
from vlm_tsc.conversation.presentation import Presentation
from vlm_tsc.conversation.prompt import PromptBuilder
from vlm_tsc.errors import InputError
from vlm_tsc.finetune.parts import projector_names

SIZE = 280  # more than one window of 112 pixels a side, and no whole number of them


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


def pooled(tokens: torch.Tensor, side: int) -> torch.Tensor:
    """The mean token, and the means of each column and each row, of `(n_pictures, side * side, width)`."""
    columns = [tokens[:, column::side].mean(1) for column in range(side)]
    rows = [tokens[:, row * side : (row + 1) * side].mean(1) for row in range(side)]
    return torch.cat([tokens.mean(1), *columns, *rows], dim=1)


def shown_cases(size: int, n: int = 5):
    presentation = Presentation(PromptBuilder(AnswerMap(("down", "up")), mode="IMAGE_ONLY"), (size, size))
    return [presentation.show(case) for case in make_set(n, 0).X]


def vision_features(model, processor, shown):
    projector = projector_names(model, LORA_TARGETS)
    return features(model, processor, shown, "vision", batch_size=2, projector=projector)


def check_llavas_tower(model, processor, size, side):
    """Against the tower called directly, with the layer that LLaVA's configuration names and no class token."""
    shown = shown_cases(size)
    inputs = encode_prompts(processor, shown)
    with torch.no_grad():
        states = model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True).hidden_states
    tokens = states[model.config.vision_feature_layer][:, 1:]
    expected = pooled(tokens, side).numpy()
    np.testing.assert_allclose(vision_features(model, processor, shown), expected, atol=1e-5)


def test_vision_features_are_the_towers_own(tiny_base):
    check_llavas_tower(*load_model(tiny_base), 32, 4)


def test_vision_features_of_the_bundled_base_are_its_towers():
    model, processor = load_model(load_base("plot-llava-mini").repository)
    size, patch = model.config.vision_config.image_size, model.config.vision_config.patch_size
    check_llavas_tower(model.float(), processor, size, size // patch)


@pytest.mark.parametrize("family", ["llava-next", "llava-onevision"])
def test_every_tile_of_a_picture_has_features(family, tmp_path):
    model, processor = load_model(make_replica(family, tmp_path))
    shown = shown_cases(model.config.vision_config.image_size, 3)
    pixels = encode_prompts(processor, shown)["pixel_values"]
    with torch.no_grad():
        states = model.model.vision_tower(pixels.flatten(0, 1), output_hidden_states=True).hidden_states
    first = 1 if model.config.vision_feature_select_strategy == "default" else 0  # the class token is left out
    tokens = states[model.config.vision_feature_layer][:, first:]
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    expected = pooled(tokens, side).reshape(len(shown), -1).numpy()
    np.testing.assert_allclose(vision_features(model, processor, shown), expected, atol=1e-5)


def test_patches_in_windows_are_read_in_the_order_of_the_picture(tmp_path):
    """Qwen2.5-VL's tower takes all pictures as one sequence of windows; its projector joins two by two patches."""
    from transformers.vision_utils import get_vision_window_index

    model, processor = load_model(make_replica("qwen2.5-vl", tmp_path))
    shown = shown_cases(SIZE, 3)
    inputs = encode_prompts(processor, shown)
    tower, grid = model.model.visual, inputs["image_grid_thw"]
    with torch.no_grad():
        states = tower(inputs["pixel_values"], grid_thw=grid).last_hidden_state
        read = tower.merger.ln_q(states).view(-1, tower.merger.hidden_size)
    sizes = {"window_size": tower.window_size, "patch_size": tower.patch_size}
    windows, _ = get_vision_window_index(grid, spatial_merge_size=tower.spatial_merge_size, **sizes)
    assert windows.tolist() != sorted(windows.tolist()), "or there is nothing to put in order"
    tokens = read[torch.argsort(windows)].view(len(shown), -1, read.shape[-1])
    side = int(grid[0, 2]) // tower.spatial_merge_size
    np.testing.assert_allclose(vision_features(model, processor, shown), pooled(tokens, side).numpy(), atol=1e-5)


def test_vision_features_of_smolvlm_are_its_towers_patches_side_by_side(tmp_path):
    model, processor = load_model(make_replica("smolvlm", tmp_path))
    size = model.config.vision_config.image_size
    shown = shown_cases(size, 3)
    inputs = encode_prompts(processor, shown)
    with torch.no_grad():
        states = model.model.vision_model(inputs["pixel_values"].flatten(0, 1)).last_hidden_state
        tokens = model.model.connector.pixel_shuffle(states, model.model.connector.scale_factor)
    side = size // model.config.vision_config.patch_size // model.model.connector.scale_factor
    np.testing.assert_allclose(vision_features(model, processor, shown), pooled(tokens, side).numpy(), atol=1e-5)


def test_a_base_without_a_known_projector_is_refused(tiny_base, monkeypatch):
    unknown = load_base(str(tiny_base)).model_copy(update={"lora_targets": {**LORA_TARGETS, "projector": "bridge"}})
    monkeypatch.setattr("vlm_tsc.classify.probe.load_base", lambda *_: unknown)
    train = make_set(8, 0)
    with pytest.raises(InputError, match="no projector that this project knows"):
        ProbeClassifier(str(tiny_base), "vision").fit(train.X, train.y)


def test_decoder_features_are_the_last_state(tiny_base):
    model, processor = load_model(tiny_base)
    shown = shown_cases(32)
    with torch.no_grad():
        out = model(**encode_prompts(processor, shown), output_hidden_states=True)
    last = out.hidden_states[-1][:, -1].numpy()
    np.testing.assert_allclose(features(model, processor, shown, "decoder", batch_size=2), last, atol=1e-5)
