"""Operations are counted, forward and backward, and measuring a device's rate changes no random draw."""

from __future__ import annotations

import torch
from torch import nn

from vlm_tsc.pretrain.rate import counted, matmul_rate


def test_a_linear_layer_costs_three_products():
    layer, x = nn.Linear(8, 4), torch.randn(16, 8, requires_grad=True)
    with counted() as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 16 * 8 * 4  # the output, the gradients of weights and input


def test_the_rate_is_positive_and_leaves_the_random_state():
    before = torch.random.get_rng_state()
    assert matmul_rate(torch.device("cpu")) > 0
    assert torch.equal(torch.random.get_rng_state(), before)
