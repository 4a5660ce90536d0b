"""Pretext tasks against their definitions: what is masked is hidden, what is compared is what the papers compare."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from vlm_tsc.classify.masked_transformer.patches import patches_of
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.pretrain.masked.config import Pretraining
from vlm_tsc.pretrain.masked.contrastive import Contrast, info_nce, paired_batch
from vlm_tsc.pretrain.masked.mae import MaskedAutoencoder, masked_batch, reconstruction_loss
from vlm_tsc.pretrain.masked.masks import at, draw_masks, mean_over, places
from vlm_tsc.pretrain.masked.timemae import TimeMAE, codewords

SHAPE = Shape(length=32, patch=4, width=16, layers=1, heads=2)
LENGTHS = (32, 12, 20, 4)  # eight patches, three, five and one


def config(task="mae", **options):
    return Pretraining(
        name="tiny", task=task, datasets=("synthetic",), steps=4, shape=SHAPE, codewords=11, cross_layers=2, **options
    )


def points(seed=0, lengths=LENGTHS):
    random = np.random.default_rng(seed)
    return [random.normal(size=(1, length)) for length in lengths]


def batch(seed=0):
    return masked_batch(points(seed), config(), np.random.default_rng(seed))


@pytest.mark.parametrize("ratio", [0.01, 0.4, 0.6, 0.99])
def test_the_masked_share_is_that_of_each_case_and_one_patch_stays_visible(ratio):
    _, present = patches_of(points(), 4)
    masked = draw_masks(present, ratio, np.random.default_rng(0))
    assert not (masked & ~present).any()
    expected = [min(max(round(ratio * n), 1), n - 1) for n in (8, 3, 5, 1)]
    assert masked.sum(1).tolist() == expected


def test_masks_are_drawn_evenly():
    present = torch.ones(4000, 8, dtype=torch.bool)
    shares = draw_masks(present, 0.5, np.random.default_rng(0)).double().mean(0)
    np.testing.assert_allclose(shares, 0.5, atol=0.04)


def test_places_are_the_chosen_patches_in_their_order():
    chosen = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    positions, there = places(chosen)
    assert there.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert positions[0].tolist() == [1, 3, 4] and positions[1, 0] == 2
    values = torch.arange(15.0).reshape(3, 5)
    assert at(values, positions)[0].tolist() == [1, 3, 4] and at(values, positions)[1, 0] == 7
    assert mean_over(torch.tensor([[2.0, torch.nan]]), torch.tensor([[True, False]])) == 2
    assert mean_over(torch.tensor([[torch.nan]]), torch.tensor([[False]])) == 0


def test_the_reconstruction_loss_is_the_error_of_the_masked_patches_alone():
    made = batch()
    read = torch.randn(4, 8, 4, generator=torch.Generator().manual_seed(0))
    squares = [
        float(((read[i, p] - made["values"][i, 0, p]) ** 2).mean())
        for i in range(4)
        for p in range(8)
        if made["masked"][i, p]
    ]
    loss = reconstruction_loss(read, made["values"], made["masked"])
    assert float(loss) == pytest.approx(np.mean(squares), rel=1e-5)


def test_mae_cannot_see_what_is_masked():
    network, made = MaskedAutoencoder(config()).eval(), batch()
    hidden = torch.where(made["masked"][:, None, :, None], torch.tensor(50.0), made["values"])
    with torch.no_grad():
        first = network(made["values"], made["present"], made["masked"])
        torch.testing.assert_close(network(hidden, made["present"], made["masked"]), first, rtol=0, atol=0)
        shown = torch.where(made["masked"][:, None, :, None], made["values"], made["values"] + 1)
        assert not torch.allclose(network(shown, made["present"], made["masked"]), first)


def timemae():
    network = TimeMAE(config("timemae"))
    for parameter in network.target.parameters():  # so that both differ
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return network.eval()


def test_timemaes_prediction_depends_on_the_visible_patches_and_on_no_masked_one():
    network, made = timemae(), batch()
    positions, there = places(made["masked"])

    def predicted(values):
        with torch.no_grad():
            found = network.predict(network.encoder.tokens(values), made["present"] & ~made["masked"], positions)
        return found[there]

    mask = made["masked"][:, None, :, None]
    first = predicted(made["values"])
    hidden = predicted(torch.where(mask, torch.tensor(50.0), made["values"]))
    torch.testing.assert_close(hidden, first, rtol=0, atol=0)
    beyond = torch.where(made["present"][:, None, :, None], made["values"], torch.tensor(50.0))
    torch.testing.assert_close(predicted(beyond), first, rtol=0, atol=1e-6)
    assert not torch.allclose(predicted(torch.where(mask, made["values"], made["values"] + 1)), first)


def reference_losses(network, made):
    """Case by case and patch by patch, each attention over exactly what it may see."""
    errors, surprises = [], []
    for values, present, masked in zip(made["values"], made["present"], made["masked"], strict=True):
        hidden, seen = torch.where(masked)[0], torch.where(present & ~masked)[0]
        if not len(hidden):
            continue
        tokens = network.encoder.embed(values[0])  # (n_patches, width), one channel
        context = network.encoder.bert(inputs_embeds=tokens[None, seen], position_ids=seen[None]).last_hidden_state
        asked = network.encoder.mask_token + network.encoder.bert.embeddings.position_embeddings.weight[hidden][None]
        for block in network.blocks:
            weights = block.attention
            found = nn.functional.multi_head_attention_forward(
                asked[0][:, None], context[0][:, None], context[0][:, None], 16, 2, weights.in_proj_weight,
                weights.in_proj_bias, None, None, False, 0.0, weights.out_proj.weight, weights.out_proj.bias,
            )[0][:, 0][None]  # fmt: skip
            asked = block.norms[0](asked + found)
            asked = block.norms[1](asked + block.inner(asked))
        target = network.target.embed(values[0])[None, hidden]
        wanted = network.target.bert(inputs_embeds=target, position_ids=hidden[None]).last_hidden_state
        errors += (asked - wanted).square().mean(2)[0].tolist()
        for patch, token in enumerate(tokens[hidden]):
            cosines = [float(torch.cosine_similarity(token, word, dim=0)) for word in network.codebook]
            logits = network.codebook @ asked[0, patch]
            surprises.append(float(torch.logsumexp(logits, 0) - logits[int(np.argmax(cosines))]))
    return np.mean(errors), np.mean(surprises)


def test_timemaes_losses_are_those_of_an_independent_reference():
    network, made = timemae(), batch()
    network.momentum = 1.0  # the target stays as it is
    with torch.no_grad():
        regression, codeword = reference_losses(network, made)
        loss, figures = network.loss(made)
    assert figures["regression"] == pytest.approx(regression, rel=1e-4)
    assert figures["codeword"] == pytest.approx(codeword, rel=1e-4)
    assert float(loss) == pytest.approx(5 * regression + codeword, rel=1e-4)


def test_a_codeword_is_the_nearest_by_angle():
    book = torch.tensor([[10.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    tokens = torch.tensor([[[1.0, 0.1], [0.4, 0.5], [-3.0, -2.0]]])
    assert codewords(tokens, book).tolist() == [[0, 1, 2]]


def test_the_target_follows_by_momentum_gets_no_gradient_and_has_no_dropout():
    network, made = timemae().train(), batch()
    before = copy.deepcopy(network.target.state_dict())
    loss, _ = network.loss(made)
    loss.backward()
    for name, value in network.target.named_parameters():
        expected = 0.99 * before[name] + 0.01 * network.encoder.get_parameter(name)
        torch.testing.assert_close(value, expected)
        assert value.grad is None and not value.requires_grad
    positions, there = places(made["masked"])
    first, again = (network.train().target_of(made["values"], positions, there) for _ in range(2))
    assert torch.equal(first, again)


def test_both_of_timemaes_losses_teach_the_encoder_and_the_book():
    for options in ({"regression_weight": 0.0}, {"codeword_weight": 0.0}):
        network = TimeMAE(config("timemae", **options))
        network.loss(batch())[0].backward()
        assert float(network.encoder.embed.weight.grad.abs().max()) > 0
        taught = network.codebook.grad is not None and float(network.codebook.grad.abs().max()) > 0
        assert taught == ("regression_weight" in options)


def test_info_nce_equals_its_definition_view_by_view():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 5, generator=random), torch.randn(3, 5, generator=random)
    views = [*a, *b]
    losses = []
    for i, one in enumerate(views):
        scores = [float(torch.cosine_similarity(one, other, dim=0)) / 0.2 for other in views]
        others = [np.exp(score) for j, score in enumerate(scores) if j != i]
        losses.append(-np.log(np.exp(scores[(i + 3) % 6]) / np.sum(others)))
    loss, _ = info_nce(a, b, 0.2)
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert info_nce(a, a, 0.2)[1] == 1.0


def test_the_halves_of_a_contrastive_batch_are_views_of_the_same_series():
    made = paired_batch(points(), config("contrastive"), np.random.default_rng(0))
    assert made["values"].shape[0] == 8
    assert torch.equal(made["present"][:4], made["present"][4:])
    assert not torch.equal(made["values"][:4], made["values"][4:])
    loss, figures = Contrast(config("contrastive")).loss(made)
    assert torch.isfinite(loss) and 0 <= figures["found"] <= 1
