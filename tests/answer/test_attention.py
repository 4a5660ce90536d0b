"""The attention that trains on CPUs against torch's own, and which one is taken where."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from vlm_tsc.answer.attention import ON_CPU, attention_on_cpu, use_attention_for_training


def inputs(n_heads: int, n_key_value_heads: int) -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(0)
    shapes = [(2, n_heads, 7, 4), (2, n_key_value_heads, 7, 4), (2, n_key_value_heads, 7, 4)]
    return [torch.randn(shape, generator=made, requires_grad=True) for shape in shapes]


def masked(dtype: torch.dtype) -> torch.Tensor:
    """Every token sees those before; the second case is padded by two on its left, whose rows see nothing at all."""
    seen = torch.ones(2, 1, 7, 7).tril().bool()
    seen[1, ..., :2] = False
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)


def torchs(query, key, value, mask, scaling):
    """Torch's in double precision, for tokens that see something."""
    groups = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(groups, 1).double() for one in (key, value))
    seen = None if mask is None else mask == 0
    return F.scaled_dot_product_attention(query.double(), key, value, seen, scale=scaling).transpose(1, 2)


@pytest.mark.parametrize(("n_heads", "n_key_value_heads"), [(3, 3), (6, 2)])
@pytest.mark.parametrize("mask", [None, masked(torch.float32)], ids=["all", "masked"])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_equals_torchs_attention_and_its_gradients(n_heads, n_key_value_heads, mask, scaling):
    given = inputs(n_heads, n_key_value_heads)
    expected = torchs(*given, mask, scaling)[:, 2:]
    got = attention_on_cpu(SimpleNamespace(training=True), *given, mask, scaling)[0][:, 2:]
    assert (got - expected).abs().max() < 1e-5
    weight = torch.linspace(-1, 1, expected.numel()).view(expected.shape)
    wanted = torch.autograd.grad((expected * weight).sum(), given)
    for mine, theirs in zip(torch.autograd.grad((got * weight).sum(), given), wanted, strict=True):
        assert (mine - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("made_in", [torch.float32, torch.bfloat16])
def test_under_autocast_it_is_as_near_as_bfloat16_is(made_in):
    """Rows that see nothing stay numbers: float32's least is minus infinity in bfloat16."""
    given, mask = inputs(3, 3), masked(made_in)
    with torch.autocast("cpu", torch.bfloat16):
        got = attention_on_cpu(SimpleNamespace(training=True), *given, mask)[0]
    assert got.dtype == torch.bfloat16 and got.isfinite().all()
    assert (got[:, 2:] - torchs(*given, mask, None)[:, 2:]).abs().max() < 0.03
    assert all(one.isfinite().all() for one in torch.autograd.grad(got.float().sum(), given))


def test_drops_weights_in_training_alone():
    given = inputs(2, 2)
    torch.manual_seed(0)
    outputs = [
        attention_on_cpu(SimpleNamespace(training=training), *given, None, dropout=0.5)[0]
        for training in (False, False, True)
    ]
    assert outputs[0].equal(outputs[1]) and not outputs[0].equal(outputs[2])
    assert outputs[2].isfinite().all()


@pytest.mark.parametrize(
    ("place", "precision", "installed", "fused", "expected"),
    [
        ("cpu", torch.bfloat16, True, True, [ON_CPU]),
        ("cpu", torch.float32, False, False, ["eager"]),
        ("cuda", torch.bfloat16, False, True, []),
        ("cuda", torch.bfloat16, True, True, ["flash_attention_2"]),
        ("cuda", torch.float32, True, True, []),
    ],
)
def test_which_attention_trains_where(monkeypatch, place, precision, installed, fused, expected):
    chosen: list[str] = []
    monkeypatch.setattr("vlm_tsc.answer.attention.device", lambda: torch.device(place))
    monkeypatch.setattr("vlm_tsc.answer.attention.is_flash_attn_2_available", lambda: installed)
    model = SimpleNamespace(set_attn_implementation=chosen.append, _supports_sdpa=fused)
    use_attention_for_training(model, precision)
    assert chosen == expected
