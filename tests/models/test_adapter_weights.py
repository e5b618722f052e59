"""Low-rank factors of layers that read one input, fused into those of one layer."""

import pytest
import torch
from torch import nn

from repo_exp.models.adapter_weights import (
    PROJECTIONS,
    LayerFactors,
    adapter_weights,
    fuse_factors,
    no_adapter,
    without_adapter,
)


def test_factors_are_stacked_and_put_on_the_diagonal() -> None:
    """Layers of 2, 1 and 1 outputs; the second has no adapter, the third has rank 2."""
    a1, b1 = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])
    a3, b3 = torch.tensor([[5.0, 6.0], [7.0, 8.0]]), torch.tensor([[9.0, 10.0]])
    fused = fuse_factors([LayerFactors(2, a1, b1), LayerFactors(1), LayerFactors(1, a3, b3)])
    assert fused.a_KH.tolist() == [[1, 2], [5, 6], [7, 8]]
    assert fused.b_NK.tolist() == [[3, 0, 0], [4, 0, 0], [0, 0, 0], [0, 9, 10]]
    assert fused.blocks == ((slice(0, 2), slice(0, 1)), (slice(3, 4), slice(1, 3)))
    assert fuse_factors([LayerFactors(2), LayerFactors(1)]) is None


@pytest.mark.parametrize("how", [{}, {"target_modules": ["k_proj", "up_proj"]}, {"last_layers": {"policy": 1}}])
def test_fused_factors_add_what_each_layers_adapter_adds(tiny, how) -> None:
    backbone = tiny("policy", "judge", **how)
    backbone.peft.set_adapter("policy")
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    layers = backbone.model.model.layers
    for layer, fused in zip(layers, adapter_weights(layers, "policy"), strict=True):
        for projection in ("qkv", "gate_up"):  # those that read a hidden state
            modules = [layer.get_submodule(name) for name in PROJECTIONS[projection]]
            added = torch.cat([module(x) - without_adapter(module)(x) for module in modules], -1)
            factors = fused.get(projection)
            ours = torch.zeros_like(added) if factors is None else x @ factors.a_KH.T @ factors.b_NK.T
            torch.testing.assert_close(ours, added, atol=1e-5, rtol=1e-5)
    adapted = {projection for fused in adapter_weights(layers, "policy") for projection in fused}
    assert adapted == ({"qkv", "gate_up"} if "target_modules" in how else {*PROJECTIONS})
    assert bool(adapter_weights(layers, "policy")[0]) == ("last_layers" not in how)


def test_a_role_without_an_adapter_has_no_factors(tiny) -> None:
    layers = tiny("policy").model.model.layers
    assert adapter_weights(layers, "judge") == no_adapter(layers) == [{}, {}]


def test_gradients_reach_the_adapters_own_weights(tiny) -> None:
    backbone = tiny("policy")
    with backbone.active_adapter("policy", training=True):
        fused = adapter_weights(backbone.model.model.layers, "policy")[0]["qkv"]
        (fused.a_KH.sum() + fused.b_NK.sum()).backward()
    graded = {name: p.grad for name, p in backbone.parameters_of("policy").items() if p.grad is not None}
    assert len(graded) == 6 and all("layers.0.self_attn" in name for name in graded)
    for name, grad in graded.items():  # B is times alpha / rank = 2
        assert grad.eq(2.0 if "lora_B" in name else 1.0).all(), name


def test_only_linear_layers_are_unwrapped() -> None:
    layer = nn.Linear(2, 3)
    assert without_adapter(layer) is layer
    with pytest.raises(AssertionError):
        without_adapter(nn.Embedding(2, 3))
