"""Training: together equals alone, a naive loop gives the same, and what was interrupted ends as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from tests.classify.inception_time.reference import reference_of, trained_pairs
from vlm_tsc.classify.epochs import LOG_FILE, STATE_FILE
from vlm_tsc.classify.inception_time.cases import Cases, epoch_batches
from vlm_tsc.classify.inception_time.network import InceptionTime
from vlm_tsc.classify.inception_time.optimizer import Plateau
from vlm_tsc.classify.inception_time.training import Training, probabilities, train
from vlm_tsc.classify.scaling import Scaling
from vlm_tsc.errors import InputError

CPU = torch.device("cpu")
SETTINGS = {"lr": 0.01, "batch_size": 4, "random_state": 7}


def cases(n_cases=11, lengths=None, n_channels=1, double=True):
    """Two classes of different slope; in double precision, so that tolerances need not be generous."""
    random = np.random.default_rng(0)
    codes = np.arange(n_cases) % 2
    lengths = lengths or [12] * n_cases
    X = [
        (2 * code - 1) * np.linspace(-1, 1, length) + 0.3 * random.normal(size=(n_channels, length))
        for code, length in zip(codes, lengths, strict=True)
    ]
    found = Cases.of(X, Scaling.of(X), CPU, codes)
    return replace(found, values=found.values.double()) if double else found


def made(members=(0, 1, 2), n_channels=1, double=True):
    network = InceptionTime(n_channels, 2, 2, 4, members, SETTINGS["random_state"])
    return network.double() if double else network


@pytest.mark.parametrize("lengths", [None, [12, 5, 9, 12, 7, 12, 3, 12, 12, 8, 12]])
def test_trained_together_the_members_become_what_they_become_alone(lengths):
    together = made()
    train(together, cases(lengths=lengths), epochs=3, **SETTINGS)
    for member in (0, 1, 2):
        alone = made((member,))
        train(alone, cases(lengths=lengths), epochs=3, **SETTINGS)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(together.state_dict()[name][member], value[0], rtol=1e-9, atol=1e-9)


def test_a_naive_loop_with_torchs_adam_gives_the_same_weights():
    network, data, epochs = made((0, 1)), cases(), 3
    references = [reference_of(network, member) for member in (0, 1)]
    training = Training(network, SETTINGS["lr"], SETTINGS["random_state"])
    for _ in range(epochs):
        training.run_epoch(data, SETTINGS["batch_size"])
    for member, reference in enumerate(references):
        optimizer = torch.optim.Adam(reference.parameters(), lr=SETTINGS["lr"])
        steps = 0
        for epoch in range(1, epochs + 1):
            order = np.random.default_rng([SETTINGS["random_state"], member, epoch]).permutation(len(data))
            for batch in np.array_split(order, [4, 8]):
                steps += 1
                # Keras adds epsilon to the uncorrected root, torch to the corrected one
                optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**steps) ** 0.5
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(reference(data.values[batch]), data.codes[batch]).backward()
                optimizer.step()
        for theirs, ours in trained_pairs(reference, network, member):
            # of steps of 1e-3: where a gradient is almost zero, Adam divides rounding by rounding
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)


def test_every_member_sees_every_case_once_an_epoch_in_an_order_of_its_own():
    batches = list(epoch_batches(11, 4, (0, 1), 7, 1))
    assert [len(batch) for batch in batches] == [4, 4, 3]
    first, second = torch.cat(batches).T.tolist()
    assert sorted(first) == sorted(second) == list(range(11)) and first != second
    assert torch.cat(list(epoch_batches(11, 4, (1,), 7, 1)))[:, 0].tolist() == second
    assert torch.cat(list(epoch_batches(11, 4, (0,), 7, 2)))[:, 0].tolist() != first


def test_the_rate_is_halved_after_fifty_epochs_without_progress_member_by_member():
    plateau, rates = Plateau(2, 0.001, CPU), []
    for epoch in range(1, 260):
        plateau.step(torch.tensor([0.5, 1 / epoch if epoch <= 90 else 0.01]))  # the second goes on falling for a while
        rates.append(plateau.rates.tolist())
    first, second = (list(dict.fromkeys(row)) for row in zip(*rates, strict=True))
    expected = [0.001, 0.0005, 0.00025, 0.000125, 0.0001]
    assert first == pytest.approx(expected) and second == pytest.approx(expected[:4])
    # epoch 1 is the best, and 50 more bring nothing
    assert [row[0] for row in rates].index(rates[50][0]) == 50
    assert rates[49][0] == pytest.approx(0.001)
    assert rates[90][1] == pytest.approx(0.001) and rates[141][1] == pytest.approx(0.0005)


def test_a_change_below_keras_threshold_is_no_progress():
    plateau = Plateau(1, 0.001, CPU)
    for epoch in range(51):
        plateau.step(torch.tensor([0.5 - 1e-6 * epoch]))
    assert plateau.rates.item() == pytest.approx(0.0005)


def test_each_member_ends_with_the_weights_of_its_epoch_of_lowest_loss():
    training = Training(made((0, 1)), 0.1, 7)
    seen = []
    for losses in ([3.0, 1.0], [2.0, 2.0], [2.5, 3.0]):
        with torch.no_grad():
            training.network.head += 1
        training._keep_best(torch.tensor(losses))
        seen.append(training.network.head.clone())
    training.take_best()
    torch.testing.assert_close(training.network.head, torch.stack([seen[1][0], seen[0][1]]), rtol=0, atol=0)
    assert not training.network.training


def interrupted(folder, after, monkeypatch, **options):
    """A run that is stopped when `after` epochs are done."""
    run_epoch = Training.run_epoch

    def until(self, *arguments):
        if self.epoch == after:
            raise KeyboardInterrupt
        return run_epoch(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "run_epoch", until)
        train(made(), cases(), epochs=6, folder=folder, fingerprint="a", **SETTINGS, **options)


@pytest.mark.parametrize(("after", "save_every_seconds"), [(4, 0.0), (3, 1e9), (6, 0.0)])
def test_interrupted_and_gone_on_is_the_same_as_never_interrupted(tmp_path, monkeypatch, after, save_every_seconds):
    whole = made()
    train(whole, cases(), epochs=6, folder=tmp_path / "whole", validation=cases(), fingerprint="a", **SETTINGS)
    options = {"validation": cases(), "save_every_seconds": save_every_seconds}
    if after < 6:
        interrupted(tmp_path / "again", after, monkeypatch, **options)
    else:  # killed after the last epoch: nothing is left to train
        train(made(), cases(), epochs=6, folder=tmp_path / "again", fingerprint="a", **SETTINGS, **options)
    assert (tmp_path / "again" / STATE_FILE).exists() == (save_every_seconds == 0)
    again = made()
    train(again, cases(), epochs=6, folder=tmp_path / "again", fingerprint="a", **SETTINGS, **options)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    logs = [(tmp_path / run / LOG_FILE).read_text() for run in ("whole", "again")]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 6


def test_a_checkpoint_of_other_data_or_settings_is_not_gone_on_from(tmp_path, monkeypatch):
    interrupted(tmp_path, 4, monkeypatch, save_every_seconds=0)
    network = made()
    train(network, cases(), epochs=1, folder=tmp_path, fingerprint="b", **SETTINGS)
    fresh = made()
    train(fresh, cases(), epochs=1, **SETTINGS)
    torch.testing.assert_close(network.head, fresh.head, rtol=0, atol=0)
    assert len((tmp_path / LOG_FILE).read_text().splitlines()) == 1


def test_a_broken_checkpoint_is_named(tmp_path):
    (tmp_path / STATE_FILE).write_bytes(b"half of it")
    with pytest.raises(InputError, match="checkpoint is broken") as caught:
        train(made(), cases(), epochs=1, folder=tmp_path, **SETTINGS)
    assert STATE_FILE in str(caught.value)


def test_the_log_says_what_it_says(tmp_path):
    network, held_out = made(), cases(8, n_channels=1)
    train(network, cases(), epochs=1, folder=tmp_path, validation=held_out, **SETTINGS)
    (line,) = map(json.loads, (tmp_path / LOG_FILE).read_text().splitlines())
    assert list(line) == ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    answered = probabilities(network, held_out, 3).numpy()  # after one epoch the best weights are the last ones
    assert line["valid_loss"] == pytest.approx(log_loss(held_out.codes, answered), abs=1e-9)
    assert line["valid_accuracy"] == pytest.approx((answered.argmax(1) == held_out.codes.numpy()).mean())
    np.testing.assert_allclose(answered.sum(1), 1)


def test_the_train_figures_are_means_over_members_and_cases():
    training, data = Training(made((0, 1)), 0.0, 7), cases()
    copy = made((0, 1)).train()
    loss, accuracy = training.run_epoch(data, 4)  # at rate 0 only the running statistics move
    losses, right = [], []
    for indices in epoch_batches(len(data), 4, (0, 1), 7, 1):
        logits = copy(data.values[indices])
        codes = data.codes[indices]
        losses += torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").tolist()
        right += (logits.argmax(2) == codes).flatten().tolist()
    assert (loss, accuracy) == pytest.approx((np.mean(losses), np.mean(right)), rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_run():
    with pytest.raises(InputError, match="not finite") as caught:
        train(made(double=False), cases(double=False), **{**SETTINGS, "lr": 1e30}, epochs=5)
    assert "lower lr" in str(caught.value)


def test_scaling_is_of_the_training_values_and_none_where_cases_are_normalised():
    random = np.random.default_rng(0)
    X = [random.normal([[5.0], [100.0]], [[2.0], [30.0]], (2, 400)) for _ in range(20)]
    scaled = np.concatenate([Scaling.of(X)(case) for case in X], axis=1)
    np.testing.assert_allclose([scaled.mean(1), scaled.std(1)], [[0, 0], [1, 1]], atol=1e-9)
    normal = [(case - case.mean(1, keepdims=True)) / case.std(1, keepdims=True) for case in X]
    np.testing.assert_array_equal(Scaling.of(normal)(X[0]), X[0])
    constant = [np.full((1, 4), 3.0)] * 2
    np.testing.assert_array_equal(Scaling.of(constant)(constant[0]), np.zeros((1, 4)))


KILLED = """
import sys
from pathlib import Path
from tests.classify.inception_time.test_training import SETTINGS, cases, made
from vlm_tsc.classify.inception_time.training import train
train(made(), cases(), epochs=400, folder=Path(sys.argv[1]), save_every_seconds=0.0, **SETTINGS)
"""


@pytest.mark.long
def test_killed_at_any_moment_and_run_again(tmp_path):
    whole = made()
    train(whole, cases(), epochs=400, folder=tmp_path / "whole", **SETTINGS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "again")], env=environment)
        log, deadline = tmp_path / "again" / LOG_FILE, time.monotonic() + 60
        n_before = len(log.read_text().splitlines()) if log.exists() else 0
        while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < n_before + 30):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    again = made()
    train(again, cases(), epochs=400, folder=tmp_path / "again", **SETTINGS)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    assert (tmp_path / "whole" / LOG_FILE).read_text() == log.read_text()
