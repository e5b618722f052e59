"""Each hand-written backward pass against finite differences, and against plain operations."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.nn.functional import scaled_dot_product_attention, silu

from repo_exp.models.adapter_weights import LayerFactors, fuse_factors
from repo_exp.models.kernels import AdaptedLinear, Attention, PlainLinear, RMSNorm, Rotary, SwiGLU
from repo_exp.models.packed_weights import FrozenLinear, can_pack


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def frozen(*outputs: int, inputs: int = 5, bias: bool = False, dtype=torch.float64) -> FrozenLinear:
    torch.manual_seed(1)
    return FrozenLinear([nn.Linear(inputs, n, bias=bias, dtype=dtype) for n in outputs])


@pytest.mark.parametrize("bias", [False, True])
def test_adapted_linear(draw, bias, monkeypatch) -> None:
    """Three layers that read one input; the second has no adapter."""
    layer, x = frozen(4, 2, 3, bias=bias), draw(6, 5)
    (a1, b1), (a2, b2) = (draw(2, 5), draw(4, 2)), (draw(1, 5), draw(3, 1))

    def ours(x, a1, b1, a2, b2):
        low = fuse_factors([LayerFactors(4, a1, b1), LayerFactors(2), LayerFactors(3, a2, b2)])
        return AdaptedLinear.apply(x, layer, low.a_KH, low.b_NK, low.blocks)

    weight = torch.cat(layer.weights) + torch.cat([b1 @ a1, torch.zeros(2, 5), b2 @ a2])
    wanted = x @ weight.T + (layer.bias if bias else 0)
    for few in (256, 1):  # one product with the zeros, or one for each block
        monkeypatch.setattr(AdaptedLinear, "FEW", few)
        torch.testing.assert_close(ours(x, a1, b1, a2, b2), wanted)
        assert gradcheck(ours, (x, a1, b1, a2, b2))


def test_a_layer_without_adapters(draw) -> None:
    layer, x = frozen(4, 3, bias=True), draw(6, 5)
    assert fuse_factors([LayerFactors(4), LayerFactors(3)]) is None
    torch.testing.assert_close(PlainLinear.apply(x, layer), x @ torch.cat(layer.weights).T + layer.bias)
    assert gradcheck(lambda x: PlainLinear.apply(x, layer), (x,))


def test_rms_norm(draw) -> None:
    """Against torch's own; inside both count in float32."""
    x, weight = draw(3, 8).detach().float().requires_grad_(), torch.linspace(0.5, 2, 8)
    y, wanted = RMSNorm.apply(x, weight, 1e-6), nn.functional.rms_norm(x, (8,), weight, 1e-6)
    torch.testing.assert_close(y, wanted, atol=1e-6, rtol=1e-6)
    slope = torch.linspace(-1, 1, 24).view(3, 8)
    (found,), (right,) = (torch.autograd.grad(each, x, slope) for each in (y, wanted))
    torch.testing.assert_close(found, right, atol=1e-6, rtol=1e-6)


def test_swiglu(draw) -> None:
    x = draw(4, 6)
    assert gradcheck(SwiGLU.apply, (x,))
    torch.testing.assert_close(SwiGLU.apply(x), silu(x[:, :3]) * x[:, 3:])


def test_rotary_turns_each_pair_by_its_angle(draw) -> None:
    """(1, 0) turned by a quarter is (0, 1): the halves of a head are the two coordinates."""
    quarter = torch.tensor([torch.pi / 2], dtype=torch.float64)
    y = Rotary.apply(torch.tensor([1.0, 0.0], dtype=torch.float64), quarter.cos(), quarter.sin())
    torch.testing.assert_close(y, torch.tensor([0.0, 1.0], dtype=torch.float64))
    angle = draw(3, 1, 2).detach()
    assert gradcheck(lambda x: Rotary.apply(x, angle.cos(), angle.sin()), (draw(2, 3, 4, 4),))


@pytest.mark.parametrize("block", [2, 64])
def test_attention_over_grouped_heads(draw, monkeypatch, block) -> None:
    """2 rows, 2 key heads that serve 3 query heads each, 5 columns, 4 channels; in one block, and in three."""
    monkeypatch.setattr(Attention, "BLOCK", block)
    q, k, v = draw(2, 2, 3, 5, 4), draw(2, 2, 5, 4), draw(2, 2, 5, 4)
    bias = torch.zeros(2, 1, 5, 5, dtype=torch.float64)
    bias.masked_fill_(torch.ones(5, 5, dtype=torch.bool).triu(1), torch.finfo(torch.float64).min)
    bias[1, ..., 0] = torch.finfo(torch.float64).min  # the second row begins with padding
    bias[1, 0, 0, 0] = 0

    def ours(q, k, v):
        side_by_side = q.transpose(2, 3).reshape(4, 15, 4)
        y = Attention.apply(side_by_side, k.flatten(0, 1), v.flatten(0, 1), bias, 0.5)
        return y.view(2, 2, 5, 3, 4).transpose(2, 3).reshape(2, 6, 5, 4)

    wanted = scaled_dot_product_attention(q.flatten(1, 2), k, v, attn_mask=bias, enable_gqa=True, scale=0.5)
    torch.testing.assert_close(ours(q, k, v), wanted, atol=1e-6, rtol=1e-6)
    slope = draw(2, 6, 5, 4).detach()
    found = torch.autograd.grad(ours(q, k, v), (q, k, v), slope)
    right = torch.autograd.grad(wanted, (q, k, v), slope)
    for mine, theirs in zip(found, right, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


def test_later_queries_attend_to_the_keys_in_the_cache(draw, monkeypatch) -> None:
    """The last 3 of 7 columns as queries give the same as among all 7."""
    monkeypatch.setattr(Attention, "BLOCK", 2)
    q, k, v = draw(2, 7, 4), draw(2, 7, 4), draw(2, 7, 4)
    bias = torch.zeros(1, 1, 7, 7, dtype=torch.float64)
    bias.masked_fill_(torch.ones(7, 7, dtype=torch.bool).triu(1), torch.finfo(torch.float64).min)
    whole = Attention.apply(q, k, v, bias, 0.5)
    torch.testing.assert_close(Attention.apply(q[:, 4:], k, v, bias[:, :, 4:], 0.5), whole[:, 4:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_weights_give_the_same_products(dtype) -> None:
    layer = frozen(16, 8, inputs=32, dtype=dtype)
    if not can_pack(layer.weights[0]):
        pytest.skip("oneDNN packs no bfloat16 weights for this processor")
    assert layer.is_packed
    x = torch.randn(9, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    wanted = x.float() @ torch.cat(layer.weights).float().T
    torch.testing.assert_close(layer(x).float(), wanted, atol=0.02, rtol=0.02)
    torch.testing.assert_close(
        layer.transposed(layer(x)).float(), layer(x).float() @ torch.cat(layer.weights).float(), atol=0.05, rtol=0.02
    )
