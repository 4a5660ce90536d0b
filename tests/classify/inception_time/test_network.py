"""The network against the paper's numbers, a reference in torch's own layers, and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from tests.classify.inception_time.reference import Reference, reference_of, without_start
from vlm_tsc.classify.inception_time.convolution import FEW_CASES, convolve, grouped
from vlm_tsc.classify.inception_time.network import InceptionTime


def made(n_channels=1, n_classes=3, members=(0, 1), filters=4, depth=6):
    return InceptionTime(n_channels, n_classes, filters, depth, members).double()


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_network_has_as_many_parameters_as_worked_out_by_hand():
    first = (40 + 20 + 10) * 1 * 32 + 1 * 32 + 2 * 128  # no bottleneck for one channel
    other = 128 * 32 + (40 + 20 + 10) * 32 * 32 + 128 * 32 + 2 * 128
    shortcuts = (1 * 128 + 2 * 128) + (128 * 128 + 2 * 128)
    head = 128 * 2 + 2
    expected = first + 5 * other + shortcuts + head
    assert expected == 420_450
    assert n_parameters(InceptionTime(1, 2, 32, 6, [0])) == n_parameters(Reference(1, 2)) == expected
    assert n_parameters(InceptionTime(1, 2, 32, 6, range(5))) == 5 * expected


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("n_cases", [FEW_CASES - 1, FEW_CASES])  # the two forms of the convolution
def test_every_member_equals_a_network_of_torchs_own_layers(n_channels, n_cases):
    network, x = made(n_channels), random(n_cases, 2, n_channels, 17)
    references = [reference_of(network, member) for member in (0, 1)]
    for _ in range(3):  # batch statistics
        logits = network(x)
        assert logits.shape == (n_cases, 2, 3)
        for member, reference in enumerate(references):
            torch.testing.assert_close(logits[:, member], reference(x[:, member]))
    logits = network.eval()(x)  # the running ones that they left
    for member, reference in enumerate(references):
        torch.testing.assert_close(logits[:, member], without_start(reference, 3).eval()(x[:, member]))


def test_running_statistics_of_equal_batches_are_those_of_the_batch():
    """However short the training: nothing is left of the 0 and 1 that they begin with."""
    network, x = made(members=(0,)), random(FEW_CASES, 1, 1, 17)
    trained = network(x)
    correction = x.shape[0] * x.shape[3] / (x.shape[0] * x.shape[3] - 1)  # the running variance is the unbiased one
    torch.testing.assert_close(network.eval()(x), trained, rtol=4 * (correction - 1), atol=4 * (correction - 1))


def test_gradients_equal_those_of_the_reference():
    network, x = made(3, members=(0,)), random(FEW_CASES, 1, 3, 9)
    reference = reference_of(network, 0)
    network(x).square().sum().backward()
    reference(x[:, 0]).square().sum().backward()
    for theirs, ours in zip(reference.blocks[1].convolutions, network.blocks[1].kernels, strict=True):
        torch.testing.assert_close(ours.grad[0], theirs.weight.grad)
    torch.testing.assert_close(network.blocks[0].bottleneck.grad[0], reference.blocks[0].bottleneck.weight.grad)


@pytest.mark.parametrize("n_cases", [1, FEW_CASES])
@pytest.mark.parametrize("n_timepoints", [2, 13, 90])
def test_convolutions_against_scipy(n_cases, n_timepoints):
    x = random(n_cases, n_timepoints, 1, 2)
    weights = [random(1, 1, 2, length, seed=length) for length in (10, 4, 1)]
    found = convolve(x, weights)[0, :, 0]
    for column, weight in enumerate(weights):
        length = weight.shape[3]
        padded = np.pad(x[0, :, 0].numpy(), (((length - 1) // 2, length // 2), (0, 0)))
        expected = sum(correlate(padded[:, c], weight[0, 0, c].numpy(), mode="valid") for c in (0, 1))
        np.testing.assert_allclose(found[:, column], expected, atol=1e-12)


def test_an_even_kernel_looks_one_point_further_ahead_than_back():
    impulse = torch.zeros(1, 9, 1, 1)
    impulse[0, 4] = 1
    found = grouped(impulse, torch.arange(1.0, 5).view(1, 1, 1, 4))[0, :, 0, 0]
    assert found.tolist() == [0, 0, 4, 3, 2, 1, 0, 0, 0]  # at t it sees t - 1, t, t + 1, t + 2


@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_padded_case_is_answered_as_it_is_alone(n_channels):
    network, lengths = made(n_channels), [5, 11, 20, 2]
    network(random(8, 2, n_channels, 20))  # running statistics that are not those of the start
    network.eval()
    x = random(4, 1, n_channels, 20).expand(-1, 2, -1, -1).clone() - 3  # negative: zeros would win a maximum
    for row, length in zip(x, lengths, strict=True):
        row[..., length:] = 0
    together = network(x, torch.tensor(lengths)[:, None].expand(-1, 2))
    for i, length in enumerate(lengths):
        torch.testing.assert_close(together[i], network(x[i : i + 1, :, :, :length])[0])


def test_padding_counts_in_no_batch_statistic():
    """Cases of equal length, padded further: the same as without padding, statistics and gradients included."""
    plain, padded = made(2), made(2)
    x = random(5, 2, 2, 12)
    outputs = plain(x), padded(torch.nn.functional.pad(x, (0, 7)), torch.full((5, 2), 12))
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(padded.get_parameter(name).grad, parameter.grad)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(padded.get_buffer(name), buffer)


def test_a_members_first_weights_are_glorots_and_its_own():
    network = InceptionTime(1, 2, 32, 6, (0, 1, 2))
    alone = InceptionTime(1, 2, 32, 6, (2,))
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter[2], alone.get_parameter(name)[0], rtol=0, atol=0)
    kernel = network.blocks[1].kernels[0]
    limit = (6 / (32 * 40 + 32 * 40)) ** 0.5  # fan in + fan out
    assert 0.99 * limit < kernel.abs().max() <= limit
    assert kernel.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not torch.equal(kernel[0], kernel[1])
    assert not torch.equal(kernel[0], InceptionTime(1, 2, 32, 6, (0,), random_state=1).blocks[1].kernels[0][0])


@pytest.mark.parametrize(("depth", "shortcuts"), [(1, 0), (2, 0), (3, 1), (7, 2)])
def test_a_shortcut_follows_every_third_block(depth, shortcuts):
    network = made(depth=depth)
    assert len(network.shortcuts) == shortcuts
    assert network(random(3, 2, 1, 8)).shape == (3, 2, 3)
