"""P3O's credit and loss as the learner sees them; the pairs themselves are in tests/core/test_pairwise.py."""

import math
from types import SimpleNamespace

import pytest
import torch

from repo_exp.algorithms.interface import ReferenceLogprobs
from repo_exp.algorithms.options.p3o import Options
from repo_exp.algorithms.p3o import Algorithm
from tests.algorithms.parts import hyperparameters, minibatch, rollouts, rows_of

NAN = math.nan


def p3o(**changes) -> Algorithm:
    return Algorithm(Options(**hyperparameters("p3o", **changes)))


def t(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


MASK = torch.tensor([[True, True], [True, False]])


def test_the_credit_with_its_kl_by_hand() -> None:
    """1.5 - .1 (-10 + 10.5) = 1.45 and .5 - .1 (-12 + 11) = .6: .85 apart."""
    old, reference = t([[-4, -6], [-12, NAN]]), t([[-4.5, -6], [-11, NAN]])
    totals, group = t([1.5, 0.5]), torch.tensor([3, 3])
    seen, without = rollouts(totals, group, MASK, old_logp=old, reference_logp=reference), rollouts(totals, group, MASK)
    torch.testing.assert_close(p3o(kl_coefficient=0.1).credit(seen).advantage_BT, t([[0.85, 0.85], [-0.85, 0]]))
    torch.testing.assert_close(p3o(kl_coefficient=0.0).credit(without).advantage_BT, t([[1, 1], [-1, 0]]))
    assert ReferenceLogprobs() in p3o().signals and p3o(kl_coefficient=0.0).signals == ()


def test_a_prompt_with_one_total_is_left_out() -> None:
    seen = rollouts(t([1, 2, 5]), torch.tensor([0, 0, 1]), torch.ones(3, 2, dtype=torch.bool), 8)
    assert p3o(kl_coefficient=0.0).credit(seen).kept_B.tolist() == [True, True, False]


def a_step(responses=4, aggregation="sequence_sum"):
    torch.manual_seed(0)
    logp, old, reference = (torch.randn(responses, 3).double() * 0.2 for _ in range(3))
    mask = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [True, True, True]])
    won = torch.randn(responses // 2).double()
    advantage = torch.stack([won, -won], 1).view(-1, 1) * mask
    return logp, minibatch(mask, advantage, old, aggregation=aggregation, reference_logp=reference)


@pytest.mark.parametrize("clipping", ["separate", "joint"])
def test_pairs_of_a_step_add_up_to_the_step(clipping) -> None:
    algorithm, (logp, whole) = p3o(clipping=clipping), a_step()
    loss, metrics = algorithm.policy_loss(logp, whole)
    parts = [algorithm.policy_loss(logp[rows], rows_of(whole, rows)) for rows in ([0, 1], [2, 3])]
    torch.testing.assert_close(sum(loss for loss, _ in parts), loss)
    for name, figure in metrics.items():
        assert sum(metrics[name] for _, metrics in parts) == pytest.approx(figure)


def test_the_loss_is_the_mean_over_pairs() -> None:
    """Golden: d = .3 beyond a clip of .2 is worth -.090484; the other pair is equally good, worth 0: half of it."""
    mask = torch.tensor([[True, True]] * 4)
    logp, old = t([[-4.9, -5], [-6, -6.2], [-1, -1], [-2, -2]]), t([[-5, -5], [-6, -6], [-1, -1], [-2, -2]])
    given = minibatch(mask, t([[1, 1], [-1, -1], [0, 0], [0, 0]]), old, aggregation="sequence_sum")
    loss, metrics = p3o(clip=0.2).policy_loss(logp, given)
    assert loss.item() == pytest.approx(-0.090484 / 2, abs=1e-6)
    assert metrics["policy/clip_fraction"] == 0.5
    assert metrics["policy/ratio"] == pytest.approx((1.105171 + 0.818731 + 2) / 4, abs=1e-6)


@pytest.mark.parametrize("clipping", ["separate", "joint"])
def test_where_nothing_has_moved_the_gradient_is_half_of_the_difference(clipping) -> None:
    """One pair, A = .8: -.4 at every token of the first, .4 at those of the second, none at padding."""
    old = t([[-1, -2], [-3, NAN]])
    logp = old.clone().requires_grad_()
    given = minibatch(MASK, t([[0.8, 0.8], [-0.8, 0]]), old, aggregation="sequence_sum")
    p3o(clipping=clipping).policy_loss(logp, given)[0].backward()
    torch.testing.assert_close(logp.grad, t([[-0.4, -0.4], [0.4, 0]]))


def test_padding_takes_no_part() -> None:
    algorithm, (logp, whole) = p3o(), a_step()
    expected, metrics = algorithm.policy_loss(logp, whole)
    junk = torch.where(whole.mask_BT, logp, torch.full_like(logp, NAN))
    found, also = algorithm.policy_loss(junk, whole)
    assert found == expected and also == metrics


def a_config(*, rollouts: int, correction: str = "none") -> SimpleNamespace:
    rollout = SimpleNamespace(correction=SimpleNamespace(kind=correction))
    return SimpleNamespace(budget=SimpleNamespace(rollouts=rollouts), rollout=rollout)


@pytest.mark.parametrize("kind", ["truncated", "masked"])
def test_a_correction_of_tokens_is_refused_since_a_response_is_one_action(kind) -> None:
    (problem,) = p3o().options.problems(a_config(rollouts=32, correction=kind))
    assert problem.where == "rollout.correction.kind" and "whole responses" in problem.found


def test_minibatches_have_to_divide_the_pairs() -> None:
    """32 responses are 16 pairs: 4 parts of 4 pairs; 32 parts would be half pairs each."""
    config = a_config(rollouts=32)
    assert not list(p3o(minibatches=4).options.problems(config))
    (problem,) = p3o(minibatches=32).options.problems(config)
    assert problem.where == "algorithm.minibatches" and "16 groups" in problem.found
    assert "1, 2, 4, 8, 16" in problem.remedy


def test_more_than_two_responses_are_refused() -> None:
    with pytest.raises(ValueError, match="group_size"):
        p3o(group_size=4)
    with pytest.raises(ValueError, match="clipping"):
        p3o(clipping="none")
