"""Gradients of every method's loss: against finite differences, at the first step by hand, and none from padding."""

from __future__ import annotations

import math

import pytest
import torch

from repo_exp.algorithms.registry import find, options_of
from repo_exp.core.masks import aggregation_weights
from tests.algorithms.parts import hyperparameters, minibatch, pair_hyperparameters, pairs, value_minibatch

TOKENS = {
    "ppo": hyperparameters("ppo"),
    "ppo with two clips": hyperparameters("ppo", clip_high=0.3, dual_clip=3.0),
    "grpo": hyperparameters("grpo", group_size=2),
    "grpo with a kl": hyperparameters("grpo", group_size=2, kl_coefficient=0.1, kl_estimator="k3"),
    "grpo with the square of a kl": hyperparameters("grpo", group_size=2, kl_coefficient=0.1, kl_estimator="k2"),
    "gdpo": hyperparameters("gdpo", group_size=2, kl_coefficient=0.0, weights={}),
    "gopo": hyperparameters("gopo", group_size=2, kl_coefficient=0.0),
    "grpo_care": hyperparameters("grpo_care", group_size=2),
    "jackpot": hyperparameters("grpo", group_size=2) | hyperparameters("jackpot"),
    "dvpo": hyperparameters("dvpo", kl_coefficient=0.0),
}
SEQUENCES = {
    "gspo": hyperparameters("grpo", group_size=2, ratio="sequence", aggregation="sequence_mean"),
    "sppo": hyperparameters("sppo", group_size=2, beta=0.01),
    "p3o joint": hyperparameters("p3o", clipping="joint", kl_coefficient=0.0),
    "p3o separate": hyperparameters("p3o", clipping="separate", kl_coefficient=0.0),
}
MASK = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [True, True, True]])


def built(options):
    kind = options["kind"]
    return find(kind).Algorithm(options_of(kind)(**options))


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step(algorithm, old_BT, reference_BT=None):
    """Return a step of two pairs of responses whose advantage is the same at each of their tokens, as credit has it."""
    advantage_BT = torch.where(MASK, torch.tensor([[1.5], [-1.5], [-1.0], [1.0]]).double(), torch.zeros(()).double())
    signals = {} if reference_BT is None else {"reference_logp": reference_BT}
    return minibatch(MASK, advantage_BT, old_BT, aggregation=algorithm.aggregation, **signals)


@pytest.mark.parametrize("name", [*TOKENS, "gspo", "sppo"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_of_a_loss_is_its_slope(name, seed) -> None:
    """Ratios of 0.6 to 1.5, some beyond the clips; the loss is smooth there. (P3O holds a factor constant.)"""
    algorithm = built((TOKENS | SEQUENCES)[name])
    old_BT = draw(seed, 4, 3) - 2
    reference_BT = old_BT + 0.3 * draw(seed + 7, 4, 3) if "kl" in name else None
    given = step(algorithm, old_BT, reference_BT)
    logp_BT = (old_BT + 0.2 * draw(seed + 9, 4, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x_BT: algorithm.policy_loss(x_BT, given)[0], logp_BT, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", [*TOKENS, *SEQUENCES])
def test_what_lies_behind_a_response_has_no_gradient_whatever_it_is(name) -> None:
    algorithm, old_BT = built((TOKENS | SEQUENCES)[name]), torch.where(MASK, draw(3, 4, 3), torch.full((), math.nan))
    reference_BT = torch.where(MASK, draw(4, 4, 3), torch.full((), math.nan)) if "kl" in name else None
    inner = (old_BT[MASK] + 0.05).requires_grad_()
    logp_BT = old_BT.masked_scatter(MASK, inner)
    loss, metrics = algorithm.policy_loss(logp_BT, step(algorithm, old_BT, reference_BT))
    loss.backward()
    assert loss.isfinite() and inner.grad.isfinite().all()
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("name", [name for name in [*TOKENS, "gspo"] if "kl" not in name])
def test_the_first_gradient_of_an_update_is_minus_the_advantage_times_the_weight(name) -> None:
    """Where nothing has moved every ratio is 1, no clip decides, and all methods climb the same policy gradient."""
    algorithm = built((TOKENS | SEQUENCES)[name])
    old_BT = draw(5, 4, 3)
    given, logp_BT = step(algorithm, old_BT), old_BT.clone().requires_grad_()
    loss, metrics = algorithm.policy_loss(logp_BT, given)
    loss.backward()
    torch.testing.assert_close(logp_BT.grad, -given.advantage_BT * given.weight_BT)
    assert metrics["policy/clip_fraction"] == 0 and metrics["policy/approx_kl"] == pytest.approx(0)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_better_response_becomes_likelier_and_a_worse_one_less_likely(name) -> None:
    """Every token of a response moves alike: its loss is of the whole response."""
    algorithm, old_BT = built(SEQUENCES[name]), draw(6, 4, 3)
    logp_BT = old_BT.clone().requires_grad_()
    algorithm.policy_loss(logp_BT, step(algorithm, old_BT))[0].backward()
    for row, sign in enumerate((-1, 1, 1, -1)):
        inside = logp_BT.grad[row][MASK[row]]
        assert (inside.sign() == sign).all()
        torch.testing.assert_close(inside, inside[:1].expand_as(inside))


@pytest.mark.parametrize("option", ["dpo", "cdpo", "robust_dpo", "ipo", "simpo", "ld_dpo", "nca", "apo_zero"])
def test_the_loss_of_pairs_has_its_slope_and_padding_has_none(option) -> None:
    algorithm = built(pair_hyperparameters(option, sft_weight=0.2))
    mask = MASK.view(2, 2, 3)
    reference = draw(7, 2, 2, 3) if algorithm.signals else None
    given = pairs(mask, 2, 5, reference)
    logp = draw(8, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: algorithm.loss(x, given)[0], logp, eps=1e-7, atol=1e-5)
    algorithm.loss(logp, given)[0].backward()
    assert logp.grad[~mask].abs().sum() == 0 and (logp.grad[mask] != 0).all()


@pytest.mark.parametrize("clip", [None, 0.2])
def test_a_value_moves_towards_its_return(clip) -> None:
    """Slope: w (V - R), where the clip does not decide; weights of the whole step."""
    algorithm, value = built(hyperparameters("ppo", value_clip=clip)), draw(9, 4, 3)
    given = value_minibatch(MASK, draw(10, 4, 3), value)
    moved = value.clone().requires_grad_()
    algorithm.value_loss(moved, given).backward()
    weight = aggregation_weights(MASK, "token_mean", longest=3).double()
    torch.testing.assert_close(moved.grad, weight * (value - given.return_BT))
