"""Patches and encoder: one factor per set, padding that changes nothing, float patches instead of words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.encoder_folder import encoder_files
from vlm_tsc.classify.masked_transformer.patches import Grid, patches_of, resampled
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.model_folder import WEIGHTS

SHAPE = Shape(length=32, patch=4, width=16, layers=2, heads=2)


def batch(lengths=(32, 12, 20), n_channels=1, seed=0):
    random = np.random.default_rng(seed)
    return patches_of([random.normal(size=(n_channels, length)) for length in lengths], 4)


def test_resampling_draws_lines_between_values_and_averages_where_there_are_too_many():
    case = np.array([[0.0, 2.0, 4.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(resampled(case, 5), [[0, 1, 2, 3, 4], [1, 1, 1, 1, 1]])
    long = np.random.default_rng(0).normal(size=(1, 12))
    np.testing.assert_allclose(resampled(long, 4), long.reshape(1, 4, 3).mean(2))
    np.testing.assert_allclose(resampled(long, 5).mean(), long.mean())  # a value on an edge is shared, none is lost
    assert resampled(long, 12) is long


def test_one_factor_for_all_cases_of_a_set():
    grid = Grid(longest=100, length=32, patch=4)
    assert [grid(np.zeros((1, n))).shape[1] for n in (100, 50, 25, 3, 200)] == [32, 16, 8, 4, 32]
    wave = np.sin(np.arange(100) / 3)[None]
    first_half = grid(wave[:, :50])
    np.testing.assert_allclose(first_half[0, :14], grid(wave)[0, :14], atol=1e-9)  # not stretched: the same frequency


@pytest.mark.parametrize("n_channels", [1, 3])
def test_padding_changes_nothing(n_channels):
    encoder = PatchEncoder(SHAPE.model_copy(update={"n_channels": n_channels})).eval()
    values, present = batch(n_channels=n_channels)
    rubbish = torch.where(present[:, None, :, None], values, torch.tensor(1e6))
    with torch.no_grad():
        together = encoder.features(values, present)
        torch.testing.assert_close(encoder.features(rubbish, present), together, rtol=0, atol=1e-5)
        for i, n in enumerate((8, 3, 5)):
            alone = encoder.features(values[i : i + 1, :, :n], present[i : i + 1, :n])
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-5)
            assert not torch.allclose(alone[0], encoder.features(values[i : i + 1, :, :2], present[i : i + 1, :2])[0])


def test_the_bert_is_given_projected_patches_and_nothing_else():
    encoder = PatchEncoder(SHAPE).eval()
    values, present = batch()
    with torch.no_grad():
        flat = values.transpose(1, 2).flatten(2) @ encoder.embed.weight.T + encoder.embed.bias
        expected = encoder.bert(inputs_embeds=flat, attention_mask=present.long()).last_hidden_state
        torch.testing.assert_close(encoder(values, present), expected)
        masked = torch.zeros_like(present)
        masked[0, 2] = True
        flat[0, 2] = encoder.mask_token
        expected = encoder.bert(inputs_embeds=flat, attention_mask=present.long()).last_hidden_state
        torch.testing.assert_close(encoder(values, present, masked), expected)


def test_features_are_mean_and_largest_over_the_patches_that_are_there():
    encoder = PatchEncoder(SHAPE).eval()
    values, present = batch()
    with torch.no_grad():
        hidden, features = encoder(values, present), encoder.features(values, present)
    for i, n in enumerate((8, 3, 5)):
        expected = torch.cat([hidden[i, :n].mean(0), hidden[i, :n].amax(0)])
        torch.testing.assert_close(features[i], expected)


def test_order_counts_from_the_first_step():
    encoder = PatchEncoder(SHAPE).eval()
    values, present = batch((32,))
    with torch.no_grad():
        there_and_back = [encoder.features(v, present) for v in (values, values.flip(2))]
    assert float((there_and_back[0] - there_and_back[1]).abs().max()) > 1e-3


def test_an_encoder_of_one_channel_takes_each_channel_by_itself():
    encoder = PatchEncoder(SHAPE).eval()
    values, present = batch(n_channels=2)
    with torch.no_grad():
        both = encoder.features(values, present)
        for channel, half in zip((0, 1), both.chunk(2, dim=1), strict=True):
            torch.testing.assert_close(encoder.features(values[:, channel : channel + 1], present), half)
    assert both.shape[1] == encoder.n_features(2)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = PatchEncoder(SHAPE, 5).state_dict()
    state = torch.random.get_rng_state()
    again, other = PatchEncoder(SHAPE, 5).state_dict(), PatchEncoder(SHAPE, 6).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])


def test_the_usual_encoder_takes_less_than_five_megabytes():
    assert len(encoder_files(PatchEncoder(Shape()), {})[WEIGHTS]) < 5e6


@pytest.mark.parametrize("wrong", [{"length": 30, "patch": 4}, {"width": 10, "heads": 4}, {"n_channels": 0}])
def test_sizes_that_do_not_go_together_are_refused(wrong):
    with pytest.raises(ValidationError):
        Shape(**wrong)
