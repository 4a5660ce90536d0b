"""Training: the head learns, the encoder only when it shall, validation chooses, interruptions leave no trace."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vlm_tsc.classify.epochs import LOG_FILE, STATE_FILE
from vlm_tsc.classify.masked_transformer.encoder import PatchEncoder
from vlm_tsc.classify.masked_transformer.network import MaskedTransformer
from vlm_tsc.classify.masked_transformer.patches import Grid, PatchedCases
from vlm_tsc.classify.masked_transformer.shape import Shape
from vlm_tsc.classify.masked_transformer.training import Training, share_of_peak, train
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.errors import InputError

SHAPE = Shape(length=16, patch=4, width=8, layers=1, heads=2)
SETTINGS = {"lr": 0.01, "batch_size": 4, "epochs": 6, "random_state": 3}


def cases(n_cases=11, seed=0, flip=False):
    """Two classes of different slope and of several lengths."""
    random = np.random.default_rng(seed)
    codes = np.arange(n_cases) % 2
    X = [
        (2 * code - 1) * np.linspace(-1, 1, 10 + i % 6)[None] + 0.3 * random.normal(size=(1, 10 + i % 6))
        for i, code in enumerate(codes)
    ]
    return PatchedCases.of(X, Scaling.of(X), Grid(15, 16, 4), torch.device("cpu"), 1 - codes if flip else codes)


def made():
    network = MaskedTransformer(PatchEncoder(SHAPE, 3), 1, 2, 3)
    network.learn_scale(network.features(cases(), 8))
    return network


def training(network=None, linear=False, **options):
    return Training(network or made(), cases(), linear=linear, **{**SETTINGS, **options})


def changed(network, before):
    return {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("linear", [False, True])
def test_the_head_is_trained_and_the_encoder_only_end_to_end(linear):
    run = training(linear=linear)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    figures = [run.run_epoch() for _ in range(6)]
    trained = changed(run.network, before)
    assert {"head.weight", "head.bias"} <= trained
    unused = {"encoder.mask_token", "encoder.bert.embeddings.word_embeddings.weight"}
    assert trained == ({"head.weight", "head.bias"} if linear else set(before) - unused)
    assert figures[-1]["train_loss"] < figures[0]["train_loss"]


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    shares = np.array([share_of_peak(done) for done in np.linspace(0, 1, 101)])
    assert shares[0] == 0 and shares[-1] == pytest.approx(0)
    assert shares.max() == pytest.approx(1, abs=0.01) and shares.argmax() == 10
    assert (np.diff(shares[:11]) > 0).all() and (np.diff(shares[11:]) < 0).all()


def test_linear_evaluation_fits_the_features_that_the_encoder_gives_without_dropout():
    run = training(linear=True)
    with torch.no_grad():
        expected = run.network.eval().encoder.features(run.cases.values, run.cases.present)
    torch.testing.assert_close(run.fixed, expected)
    scaled = (expected - run.network.centre) / run.network.spread
    torch.testing.assert_close(scaled.mean(0), torch.zeros(len(scaled[0])), atol=1e-4, rtol=0)


def test_nothing_is_masked_in_evaluation():
    network = made()
    before = network.probabilities(cases(), 8)
    with torch.no_grad():
        network.encoder.mask_token += 100
    torch.testing.assert_close(network.probabilities(cases(), 8), before, rtol=0, atol=0)
    # every patch counts: none was replaced by the mask, none left out
    data = cases(1)
    for patch in range(int(data.present.sum())):
        values = data.values.clone()
        values[:, :, patch] += 1
        other = network.probabilities(PatchedCases(values, data.present), 8)
        assert not torch.equal(other, network.probabilities(data, 8))


def test_dropout_is_off_in_evaluation():
    network = made().train()
    first, again = (network.probabilities(cases(), 8) for _ in range(2))
    assert torch.equal(first, again)


def test_answers_do_not_depend_on_the_batch():
    network = made()
    torch.testing.assert_close(network.probabilities(cases(), 1), network.probabilities(cases(), 64), rtol=0, atol=1e-6)


def test_the_epoch_that_counts_is_that_of_the_best_validation_accuracy_then_loss(monkeypatch):
    run, biases = training(validation=cases(8, seed=1)), []
    codes = run.validation.codes
    for n_right, chance_of_wrong in ((4, 0.4), (6, 0.1), (6, 0.3), (5, 0.4), (6, 0.3)):
        chance = torch.where(torch.arange(8) < n_right, 0.6, chance_of_wrong).double()
        table = torch.empty(8, 2, dtype=torch.float64)
        table[torch.arange(8), codes], table[torch.arange(8), 1 - codes] = chance, 1 - chance
        monkeypatch.setattr(run.network, "probabilities", lambda *_, table=table: table)
        run.epoch += 1
        with torch.no_grad():
            run.network.head.bias += 1
        line = run._validated()
        assert line["valid_accuracy"] == n_right / 8
        assert line["valid_loss"] == pytest.approx(float(-chance.log().mean()))
        biases.append(run.network.head.bias.clone())
    assert run.take_best() == 3
    torch.testing.assert_close(run.network.head.bias, biases[2])


def test_validation_labels_choose_the_epoch_and_touch_nothing_else(tmp_path):
    lines = []
    for flip in (False, True):
        run = training(validation=cases(8, seed=1, flip=flip))
        train(run, folder=tmp_path / str(flip))
        lines.append([json.loads(line) for line in (tmp_path / str(flip) / LOG_FILE).read_text().splitlines()])
        accuracies = [(-line["valid_accuracy"], line["valid_loss"]) for line in lines[-1]]
        assert run.take_best() == 1 + accuracies.index(min(accuracies))
        answered = run.network.probabilities(run.validation, 64).argmax(1)
        assert float((answered == run.validation.codes).double().mean()) == pytest.approx(-min(accuracies)[0])
    assert [line["train_loss"] for line in lines[0]] == [line["train_loss"] for line in lines[1]]


def test_without_validation_the_last_epoch_counts():
    run = training()
    _, epoch = train(run)
    last = training()
    for _ in range(6):
        last.run_epoch()
    assert epoch == 6 and all(
        torch.equal(a, b) for a, b in zip(run.network.parameters(), last.network.parameters(), strict=True)
    )


def interrupted(folder, after, monkeypatch, linear):
    run_epoch = Training.run_epoch

    def until(self):
        if self.epoch == after:
            raise KeyboardInterrupt
        return run_epoch(self)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "run_epoch", until)
        run = training(linear=linear, validation=cases(8, seed=1))
        train(run, folder=folder, fingerprint="a", save_every_seconds=0)


@pytest.mark.parametrize("linear", [False, True])
def test_interrupted_and_gone_on_is_the_same_as_never_interrupted(tmp_path, monkeypatch, linear):
    whole = training(linear=linear, validation=cases(8, seed=1))
    train(whole, folder=tmp_path / "whole", fingerprint="a")
    interrupted(tmp_path / "again", 4, monkeypatch, linear)
    assert (tmp_path / "again" / STATE_FILE).exists()
    torch.manual_seed(99)  # another process has drawn other numbers
    again = training(linear=linear, validation=cases(8, seed=1))
    _, epoch = train(again, folder=tmp_path / "again", fingerprint="a")
    assert epoch == whole.take_best()
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0)
    assert (tmp_path / "whole" / LOG_FILE).read_text() == (tmp_path / "again" / LOG_FILE).read_text()


def test_a_checkpoint_of_something_else_is_not_gone_on_from(tmp_path, monkeypatch):
    interrupted(tmp_path, 4, monkeypatch, False)
    run = training()
    train(run, folder=tmp_path, fingerprint="b")
    assert len((tmp_path / LOG_FILE).read_text().splitlines()) == 6
    fresh = training()
    train(fresh)
    assert all(torch.equal(a, b) for a, b in zip(run.network.parameters(), fresh.network.parameters(), strict=True))


def test_a_loss_that_is_no_number_stops_the_run():
    run = training()
    run.cases.values[0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        run.run_epoch()
