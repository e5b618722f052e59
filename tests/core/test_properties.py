"""What the published formulas promise for any numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from repo_exp.core.advantage import decoupled_advantage, gae, group_advantage
from repo_exp.core.enhancement import enhance, enhancement
from repo_exp.core.masks import aggregation_weights, masked_sum, standardize, weighted_sum
from repo_exp.core.policy_loss import (
    clipped_surrogate,
    is_clipped,
    probability_ratio,
    sequence_ratio,
    truncated_importance,
)
from repo_exp.core.value_loss import clipped_value_error

seeds = st.integers(0, 10_000)
factors, shifts = st.floats(0.5, 4), st.floats(-20, 20)


def close(found, expected, atol=1e-9) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-9)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def groups(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return totals of three groups of four, in any order; the last group's are nearly, but not quite, alike."""
    group_B = torch.arange(12) % 3
    total_B = draw(seed, 12)
    total_B[group_B == 2] = 1 + 0.1 * total_B[group_B == 2]
    return total_B, group_B


def responses(seed: int) -> torch.Tensor:
    """Return a mask of four responses of 1 to 5 tokens."""
    length_B = torch.randint(1, 6, (4,), generator=torch.Generator().manual_seed(seed))
    return torch.arange(5)[None] < length_B[:, None]


# -- groups ------------------------------------------------------------------------------------------------------------


@given(seeds, factors, shifts)
def test_grpo_knows_neither_zero_nor_unit_of_a_reward(seed, a, b) -> None:
    total_B, group_B = groups(seed)
    for scale in ("group", "batch"):
        moved_B, found_B = (group_advantage(r, group_B, scale=scale, eps=0.0) for r in (a * total_B + b, total_B))
        close(moved_B, found_B)


@given(seeds, factors, shifts)
def test_dr_grpo_and_rloo_know_the_unit_and_not_the_zero(seed, a, b) -> None:
    total_B, group_B = groups(seed)
    for baseline in ("group_mean", "leave_one_out"):
        moved_B, found_B = (
            group_advantage(r, group_B, scale="none", baseline=baseline) for r in (a * total_B + b, total_B)
        )
        close(moved_B, a * found_B)


@given(seeds, st.sampled_from(["group", "batch", "none"]), st.sampled_from(["group_mean", "leave_one_out"]))
def test_what_one_response_gains_the_others_of_its_group_lose(seed, scale, baseline) -> None:
    total_B, group_B = groups(seed)
    total_B[0] = math.nan
    found_B = group_advantage(total_B, group_B, scale=scale, baseline=baseline)
    for group in range(3):
        assert found_B[group_B == group].sum().item() == pytest.approx(0, abs=1e-9)
    assert found_B[0] == 0


@given(seeds)
def test_a_deviation_of_the_group_is_that_of_the_group(seed) -> None:
    total_B, group_B = groups(seed)
    found_B = group_advantage(total_B, group_B, scale="group", eps=0.0)
    for group in range(3):
        assert found_B[group_B == group].std().item() == pytest.approx(1)


@given(seeds)
def test_gdpo_of_one_source_is_grpo_standardised_over_the_batch(seed) -> None:
    total_B, group_B = groups(seed)
    grpo_B = group_advantage(total_B, group_B, scale="group")
    expected_B = (grpo_B - grpo_B.mean()) / (grpo_B.std() + 1e-4)
    close(decoupled_advantage({"model": total_B}, group_B, weights={}), expected_B)


@given(seeds)
def test_gdpo_knows_no_order_of_sources_and_no_unit_of_any(seed) -> None:
    total_B, group_B = groups(seed)
    other_B, weights = draw(seed + 1, 12), {"model": 2.0, "judge": 0.5}
    found_B = decoupled_advantage({"model": total_B, "judge": other_B}, group_B, weights=weights)
    turned_B = decoupled_advantage({"judge": other_B, "model": total_B}, group_B, weights=weights)
    close(turned_B, found_B)
    scaled = {"model": 50 * total_B - 3, "judge": other_B}
    close(decoupled_advantage(scaled, group_B, weights=weights, eps=0.0),
          decoupled_advantage(scaled | {"model": total_B}, group_B, weights=weights, eps=0.0))  # fmt: skip
    assert found_B.mean().item() == pytest.approx(0, abs=1e-9)


# -- credit and losses -------------------------------------------------------------------------------------------------


@given(seeds)
def test_without_a_discount_returns_are_what_is_still_to_come_whatever_the_values(seed) -> None:
    """lambda = gamma = 1: A + V is the sum of this and all later rewards of the response."""
    mask_BT, value_BT = responses(seed), draw(seed, 4, 5)
    reward_BT = torch.where(mask_BT, draw(seed + 1, 4, 5), torch.zeros(()).double())
    advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=1.0, gae_lambda=1.0)
    to_come_BT = reward_BT.flip(1).cumsum(1).flip(1)
    close((advantage_BT + value_BT)[mask_BT], to_come_BT[mask_BT])


@given(seeds, st.floats(0, 1))
def test_with_lambda_zero_an_advantage_is_one_step(seed, gamma) -> None:
    mask_BT, value_BT, reward_BT = responses(seed), draw(seed, 4, 5), draw(seed + 1, 4, 5)
    inside_BT = torch.where(mask_BT, value_BT, torch.zeros(()).double())
    next_BT = torch.cat([inside_BT[:, 1:], torch.zeros(4, 1).double()], 1)
    advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=gamma, gae_lambda=0.0)
    close(advantage_BT[mask_BT], (reward_BT + gamma * next_BT - value_BT)[mask_BT])
    assert advantage_BT[~mask_BT].abs().sum() == 0


@given(seeds, st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_a_token_clipped_on_its_favoured_side_gives_no_gradient_and_any_other_does(seed, low, high) -> None:
    """A > 0 and ratio above 1 + high, or A < 0 and ratio below 1 - low; the gradient of the others is -A ratio."""
    logp_BT, advantage_BT = (0.5 * draw(seed, 4, 5)).requires_grad_(), draw(seed + 1, 4, 5)
    ratio_BT = probability_ratio(logp_BT, torch.zeros(4, 5).double())
    assume(((ratio_BT - 1 - high).abs() > 1e-6).all() and ((ratio_BT - 1 + low).abs() > 1e-6).all())
    clipped_surrogate(ratio_BT, advantage_BT, low=low, high=high).sum().backward()
    left_BT = ((advantage_BT > 0) & (ratio_BT > 1 + high)) | ((advantage_BT < 0) & (ratio_BT < 1 - low))
    close(logp_BT.grad, torch.where(left_BT, torch.zeros(()).double(), (-advantage_BT * ratio_BT).detach()))
    assert torch.equal(is_clipped(ratio_BT.detach(), advantage_BT, low=low, high=high), left_BT)


@given(seeds, st.sampled_from(["token_mean", "sequence_mean", "sequence_sum", "constant"]))
def test_masked_tokens_never_contribute(seed, aggregation) -> None:
    """NaN behind the end of a response, where the advantage is 0, reaches neither a loss nor a gradient."""
    mask_BT = responses(seed)
    logp_BT, old_BT, advantage_BT = (
        torch.where(mask_BT, 0.1 * draw(seed + k, 4, 5), torch.full((), junk).double())
        for k, junk in enumerate((math.nan, math.nan, 0.0))
    )
    weight_BT = aggregation_weights(mask_BT, aggregation, longest=5).double()
    for ratio_of in (probability_ratio, lambda logp, old: sequence_ratio(logp, old, mask_BT)):
        for loss_of in (
            lambda ratio, logp: clipped_surrogate(ratio, advantage_BT, low=0.2, high=0.2),
            lambda ratio, logp: truncated_importance(logp, ratio, advantage_BT, high=1.2),
        ):
            inner_BT = logp_BT[mask_BT].requires_grad_()
            whole_BT = logp_BT.masked_scatter(mask_BT, inner_BT)
            loss = weighted_sum(loss_of(ratio_of(whole_BT, old_BT), whole_BT), weight_BT)
            loss.backward()
            assert loss.isfinite() and inner_BT.grad.isfinite().all()
    error_BT = clipped_value_error(logp_BT, old_BT, advantage_BT, clip=0.2)
    assert masked_sum(error_BT, mask_BT).isfinite() and standardize(logp_BT, mask_BT).isfinite().all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 4))
def test_where_all_responses_are_equally_long_a_mean_is_a_mean(count, length, padding) -> None:
    mask_BT = torch.cat([torch.ones(count, length), torch.zeros(count, padding)], 1).bool()
    weights = {
        how: aggregation_weights(mask_BT, how, longest=length)
        for how in ("token_mean", "sequence_mean", "constant", "sequence_sum")
    }
    for how in ("sequence_mean", "constant"):
        close(weights[how], weights["token_mean"], atol=1e-7)
    close(weights["sequence_sum"], length * weights["token_mean"], atol=1e-6)
    assert weights["token_mean"].sum().item() == pytest.approx(1)


# -- the enhancement ---------------------------------------------------------------------------------------------------


def total(model_B: torch.Tensor, *points: torch.Tensor) -> np.ndarray:
    return enhance(model_B.numpy(), enhancement([each.numpy() for each in points], size=len(model_B), n=100), n=100)


@given(seeds, st.floats(0, 100))
def test_more_points_of_a_rule_or_a_judge_never_lower_a_total(seed, more) -> None:
    model_B, judge_B, rules_B = 3 * draw(seed, 6), 80 * draw(seed + 1, 6), 80 * draw(seed + 2, 6)
    before_B = total(model_B, judge_B, rules_B)
    assert (total(model_B, judge_B + more, rules_B) >= before_B - 1e-12).all()
    assert (total(model_B, judge_B, rules_B + more) >= before_B - 1e-12).all()
    assert (before_B * model_B.numpy() >= 0).all() and (np.abs(before_B) <= 2 * np.abs(model_B.numpy()) + 1e-12).all()


@given(seeds)
def test_no_enhancement_is_the_reward_model_bit_for_bit(seed) -> None:
    """So REPO with judge and rules at 0, or with none that has a score, is PPO on the reward model."""
    model_B, none_B = draw(seed, 6), torch.full((6,), math.nan).double()
    assert (total(model_B, torch.zeros_like(model_B), torch.zeros_like(model_B)) == model_B.numpy()).all()
    assert (total(model_B, none_B, none_B) == model_B.numpy()).all()
