"""The fp32 copies of bfloat16 weights: nothing is rounded away, gradients add up, averages and norms by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from repo_exp.training.fp32_weights import FP32Weights, RoleWeights


def live(*values: float, dtype: torch.dtype = torch.bfloat16) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=dtype))


def test_steps_that_bfloat16_would_round_away_add_up_in_the_copy() -> None:
    """One bfloat16 digit of 1 is 1/128; a hundred steps of 1/1000 are 0.1 all the same."""
    weight = live(1.0)
    copies = FP32Weights([weight])
    for _ in range(100):
        copies.weights[0].data += 0.001
        copies.sync()
    assert copies.weights[0].item() == pytest.approx(1.1, abs=1e-5)
    assert weight.item() == torch.tensor(1.1).bfloat16().item() and weight.dtype is torch.bfloat16
    alone = live(1.0)
    for _ in range(100):
        alone.data += 0.001
    assert alone.item() == 1.0


def test_copies_are_no_views_of_the_live_weights() -> None:
    weight = live(1.0, 2.0, dtype=torch.float32)
    copies = FP32Weights([weight])
    weight.data.zero_()
    assert copies.weights[0].tolist() == [1.0, 2.0]
    copies.sync()
    assert weight.tolist() == [1.0, 2.0]


def test_gradients_of_microbatches_add_up_in_fp32_and_the_live_ones_are_cleared() -> None:
    """256 and 1: their sum has nine binary digits, and bfloat16 keeps eight."""
    weight, silent = live(1.0), live(1.0)
    copies = FP32Weights([weight, silent])
    for gradient in (256.0, 1.0):
        weight.grad = torch.tensor([gradient], dtype=torch.bfloat16)
        copies.accumulate()
        assert weight.grad is None
    assert copies.weights[0].grad.item() == 257.0 and copies.weights[0].grad.dtype is torch.float32
    assert copies.weights[1].grad is None
    assert (torch.tensor(256.0).bfloat16() + torch.tensor(1.0).bfloat16()).item() == 256.0


def test_a_gradient_that_was_accumulated_does_not_share_memory_with_the_live_one() -> None:
    weight = live(1.0, dtype=torch.float32)
    copies = FP32Weights([weight])
    weight.grad = torch.tensor([1.0])
    copies.accumulate()
    weight.grad = torch.tensor([2.0])
    copies.accumulate()
    assert copies.weights[0].grad.item() == 3.0


def test_a_moving_average_by_hand_reaches_the_live_weights() -> None:
    follower = live(1.0, dtype=torch.float32)
    mine, others = FP32Weights([follower]), FP32Weights([live(3.0)])
    mine.ema_update(others, keep=0.75)
    assert mine.weights[0].item() == follower.item() == 0.75 * 1 + 0.25 * 3
    mine.ema_update(others, keep=1.0)
    assert follower.item() == 1.5


def test_the_norm_is_that_of_all_weights_together() -> None:
    """3, 4 and 12: 5, and 13 with it."""
    copies = FP32Weights([live(3.0, 4.0), live(12.0)])
    assert copies.norm() == 13.0
    copies.weights[1].data.fill_(math.inf)
    assert copies.norm() == math.inf
    copies.weights[1].data.fill_(math.nan)
    assert math.isnan(copies.norm())


@pytest.mark.parametrize(("bound", "scale"), [(1.0, 1 / 13), (13.0, 1.0), (100.0, 1.0)])
def test_a_long_gradient_is_scaled_as_a_whole_and_a_short_one_is_left(bound, scale) -> None:
    copies = FP32Weights([live(0.0, 0.0), live(0.0)])
    copies.weights[0].grad, copies.weights[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
    assert copies.clip(bound) == pytest.approx(13.0)
    found = [*copies.weights[0].grad.tolist(), *copies.weights[1].grad.tolist()]
    assert found == pytest.approx([3 * scale, 4 * scale, 12 * scale], rel=1e-5)


def test_every_role_has_its_own_copies_and_a_checkpoint_keeps_these_alone(tiny) -> None:
    backbone = tiny("policy", "value")
    roles = RoleWeights(backbone, ["policy", "value"])
    names = set(roles.state_dict())
    assert {name.split(".")[0] for name in names} == {"policy", "value"}
    counts = [sum(weight.numel() for weight in roles[role].weights) for role in ("policy", "value")]
    assert counts == [sum(p.numel() for p in backbone.parameters_of(role).values()) for role in ("policy", "value")]
    before = [p.clone() for p in backbone.parameters_of("value").values()]
    for weight in roles["policy"].weights:
        weight.data.add_(1.0)
    roles.sync()
    changed = zip(backbone.parameters_of("policy").values(), roles["policy"].weights, strict=True)
    assert all(torch.equal(live, weight) for live, weight in changed)
    assert all(map(torch.equal, backbone.parameters_of("value").values(), before))
