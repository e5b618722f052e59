"""GRPO's credit and loss, with the golden values of the published formula and numbers worked out by hand."""

import math

import pytest
import torch

from repo_exp.algorithms.grpo import Algorithm
from repo_exp.algorithms.interface import OldLogprobs, ReferenceLogprobs
from repo_exp.algorithms.options.grpo import Options
from repo_exp.core.advantage import group_advantage, overlong_penalty
from repo_exp.core.policy_loss import sequence_ratio
from tests.algorithms.parts import hyperparameters, minibatch, rollouts, rows_of

HYPERPARAMETERS = hyperparameters("grpo", group_size=2)


def grpo(**changes) -> Algorithm:
    return Algorithm(Options(**HYPERPARAMETERS | changes))


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found, *expected, atol=1e-6) -> None:
    torch.testing.assert_close(found, t(*expected), atol=atol, rtol=0)


ONE = torch.zeros(4, dtype=torch.long)


def test_golden_advantages() -> None:
    """r = 1 2 3 6: mean 3, unbiased deviation 2.160247."""
    r = t(1, 2, 3, 6)
    close(group_advantage(r, ONE, scale="group"), -0.925777, -0.462889, 0, 1.388666)
    close(group_advantage(r, ONE, scale="none"), -2, -1, 0, 3)
    close(group_advantage(t(1, 0, 0, 1), ONE, scale="group"), 0.865875, -0.865875, -0.865875, 0.865875)


def test_groups_know_nothing_of_one_another() -> None:
    """Two groups, interleaved: each is judged by its own mean; scale=batch divides by the deviation of all."""
    r, group = t(1, 10, 3, 30), torch.tensor([7, 2, 7, 2])
    close(group_advantage(r, group, scale="none"), -1, -10, 1, 10)
    deviation = r.std().item()
    close(group_advantage(r, group, scale="batch"), *(x / (deviation + 1e-4) for x in (-1, -10, 1, 10)))
    root = math.sqrt(2)
    close(
        group_advantage(r, group, scale="group"),
        *(x / (s * root + 1e-4) for x, s in ((-1, 1), (-10, 10), (1, 1), (10, 10))),
    )


def test_scale_and_shift_of_the_reward() -> None:
    """A(a r + b) is A(r) but for eps where the deviation divides, and a A(r) where nothing does."""
    r = t(1, 2, 3, 6)
    grpo_advantage, plain = (group_advantage(r, ONE, scale=scale) for scale in ("group", "none"))
    torch.testing.assert_close(group_advantage(5 * r - 7, ONE, scale="group"), grpo_advantage, atol=1e-4, rtol=0)
    torch.testing.assert_close(group_advantage(5 * r - 7, ONE, scale="none"), 5 * plain)


def test_no_spread_no_credit() -> None:
    """0.1 three times: its mean in binary is not 0.1, and the difference over 1e-4 must not become credit."""
    for scale in ("group", "none"):
        assert group_advantage(t(0.1, 0.1, 0.1), ONE[:3], scale=scale).tolist() == [0, 0, 0]
    assert group_advantage(t(5.0), ONE[:1], scale="group").tolist() == [0]


def test_a_missing_total_punishes_and_rewards_nobody() -> None:
    nan = math.nan
    close(group_advantage(t(0.8, 0.8, 0.8, nan), ONE, scale="group"), 0, 0, 0, 0)
    close(group_advantage(t(1, nan, 3, nan), ONE, scale="none"), -1, 0, 1, 0)
    close(group_advantage(t(1, nan), torch.tensor([0, 0]), scale="batch"), 0, 0)


def test_every_token_of_a_response_has_the_replys_credit() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    credit = grpo(scale="none").credit(rollouts(torch.tensor([1.0, 3.0]), ONE[:2], mask, 8))
    assert credit.advantage_BT.tolist() == [[-1, -1, -1], [1, 0, 0]]
    assert credit.return_BT is None


def test_a_response_at_its_groups_mean_counts_and_a_silent_group_does_not() -> None:
    """1 2 3 has spread, and 2 is its mean; 5 5 5 has none."""
    mask = torch.ones(6, 2, dtype=torch.bool)
    seen = rollouts(torch.tensor([1.0, 2, 3, 5, 5, 5]), torch.tensor([0, 0, 0, 1, 1, 1]), mask, 8)
    credit = grpo(group_size=3, drop_silent_groups=True).credit(seen)
    assert credit.advantage_BT[1].tolist() == [0, 0]
    assert credit.kept_B.tolist() == [True] * 3 + [False] * 3
    assert grpo(group_size=3).credit(seen).kept_B is None


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("token_mean", 14 / 6), ("sequence_mean", 2.25), ("sequence_sum", 7.0), ("constant", 14 / 16)],
)
def test_golden_aggregation(aggregation, expected) -> None:
    """Token losses 1 3 and 2 2 2 4 (A = -1, ratios these numbers), at most 8 tokens a response."""
    mask = torch.tensor([[True] * 2 + [False] * 6, [True] * 4 + [False] * 4])
    losses = torch.tensor([[1.0, 3, 0, 0, 0, 0, 0, 0], [2, 2, 2, 4, 0, 0, 0, 0]], dtype=torch.float64)
    logp = losses.clamp(min=1e-9).log()
    given = minibatch(mask, -torch.ones_like(logp), torch.zeros_like(logp), aggregation=aggregation)
    loss, _ = grpo(clip_low=0.9999, clip_high=9.0).policy_loss(logp, given)
    assert loss.item() == pytest.approx(expected)
    parts = [grpo(clip_low=0.9999, clip_high=9.0).policy_loss(logp[[i]], rows_of(given, [i]))[0] for i in (0, 1)]
    assert sum(parts).item() == pytest.approx(expected)


def test_the_kl_is_in_the_loss() -> None:
    """d = log 2: k3 = 2 - 1 - log 2 = 0.306853 a token, times 0.04; with A = 0 nothing else is left."""
    mask = torch.tensor([[True, True]])
    logp = t([-1.0, -1.0])
    given = minibatch(mask, torch.zeros_like(logp), logp, reference_logp=logp + math.log(2))
    loss, metrics = grpo(kl_coefficient=0.04).policy_loss(logp, given)
    assert loss.item() == pytest.approx(0.04 * 0.306853, rel=1e-5)
    assert metrics["policy/kl_to_reference"] == pytest.approx(0.306853, rel=1e-5)
    assert grpo(kl_coefficient=0.04).signals == (OldLogprobs(), ReferenceLogprobs()) and grpo().signals == ()


def test_leave_one_out_by_hand() -> None:
    """r = 1 2 3 6: against the mean of the others, 11/3, 10/3, 3 and 2."""
    r = t(1, 2, 3, 6)
    found = group_advantage(r, ONE, scale="none", baseline="leave_one_out")
    close(found, 1 - 11 / 3, 2 - 10 / 3, 0, 4)
    nan = math.nan
    close(group_advantage(t(1, nan, 3, nan), ONE, scale="none", baseline="leave_one_out"), -2, 0, 2, 0)


def test_golden_overlong_penalty() -> None:
    close(overlong_penalty(t(10, 15, 16, 18, 20, 21), longest=20, cache=5), 0, 0, -0.2, -0.6, -1, -1)
    close(overlong_penalty(t(16384, 18432, 20480), longest=20480, cache=4096), 0, -0.5, -1)


def test_an_overlong_response_loses_before_it_is_compared() -> None:
    """Both are worth 1; the one with 4 of at most 4 tokens loses 1, so it is 0 against 1."""
    mask = torch.tensor([[True] * 4, [True, False, False, False]])
    seen = rollouts(torch.tensor([1.0, 1.0]), ONE[:2], mask, 4)
    assert grpo(scale="none", overlong_cache=2).credit(seen).advantage_BT[:, 0].tolist() == [-0.5, 0.5]
    assert grpo(scale="none").credit(seen).advantage_BT.abs().max() == 0


def test_golden_sequence_ratio() -> None:
    """Log-ratios .1 -.2 .4: the mean is .1. Padding, here an infinity, is not read."""
    mask = torch.tensor([[True, True, True, False]])
    ratio = sequence_ratio(t(0.1, -0.2, 0.4, math.inf)[None], torch.zeros(1, 4).double(), mask)
    close(ratio[0, :3], 1.105171, 1.105171, 1.105171)
    logp = t(0.1, -0.2, 0.4)[None].requires_grad_()
    advantage, old = -torch.ones_like(logp).detach(), torch.zeros(1, 3).double()
    given = minibatch(mask[:, :3], advantage, old, aggregation="sequence_mean")
    loss, _ = grpo(ratio="sequence", clip_high=0.2).policy_loss(logp, given)
    assert loss.item() == pytest.approx(1.105171)  # A = -1: the response's ratio, once
    loss.backward()
    close(logp.grad[0], *[1.105171 / 3] * 3)


def test_cispo_weighs_the_gradient_and_never_stops_it() -> None:
    """Ratio e is over the bound of 1.2: the clipped surrogate would give no gradient, this one gives 1.2."""
    logp = t(1.0)[None].requires_grad_()
    given = minibatch(torch.tensor([[True]]), t(1.0)[None], t(0.0)[None])
    loss, _ = grpo(surrogate="truncated_importance").policy_loss(logp, given)
    loss.backward()
    assert loss.item() == pytest.approx(-1.2) and logp.grad.item() == pytest.approx(-1.2)
    again = t(1.0)[None].requires_grad_()
    grpo().policy_loss(again, given)[0].backward()
    assert again.grad.item() == 0


def test_cispo_reports_the_weights_that_it_cuts() -> None:
    """Over the bound of 1.2, whatever the advantage: two of three. PPO's clip would stop the first and the second."""
    ratio, advantage = t(1.5, 0.5, 1.5)[None], t(1, -1, -1)[None]
    given = minibatch(torch.ones(1, 3, dtype=torch.bool), advantage, torch.zeros(1, 3).double())
    _, metrics = grpo(surrogate="truncated_importance").policy_loss(ratio.log(), given)
    assert metrics["policy/clip_fraction"] == pytest.approx(2 / 3)
    given = minibatch(torch.tensor([[True, True, False]]), advantage, torch.zeros(1, 3).double())
    _, metrics = grpo(surrogate="truncated_importance").policy_loss(ratio.log(), given)
    assert metrics["policy/clip_fraction"] == pytest.approx(1 / 2)


def test_a_second_clip_that_cispo_would_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="dual_clip"):
        grpo(surrogate="truncated_importance", dual_clip=3.0)


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="group_size"):
        grpo(group_size=1)
