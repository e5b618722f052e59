"""GOPO's credit as the learner sees it; the ranks themselves are in tests/core/test_ordinal.py."""

import math

import pytest
import torch

from repo_exp.algorithms import grpo
from repo_exp.algorithms.gopo import Algorithm
from repo_exp.algorithms.interface import ReferenceLogprobs
from repo_exp.algorithms.options import grpo as grpo_options
from repo_exp.algorithms.options.gopo import Options
from tests.algorithms.parts import hyperparameters, minibatch, rollouts


def gopo(**changes) -> Algorithm:
    return Algorithm(Options(**hyperparameters("gopo", **changes)))


MASK = torch.tensor([[True, True]] * 3 + [[True, False]])


def credit(algorithm, *totals):
    return algorithm.credit(rollouts(torch.tensor(totals), torch.zeros(4, dtype=torch.long), MASK, 8)).advantage_BT


def test_every_token_has_its_replys_rank() -> None:
    """Ranks 3 1 2 4 of four: 2 - 4 (rank - 1) / 3."""
    expected = torch.tensor([[-2 / 3] * 2, [2] * 2, [2 / 3] * 2, [-2, 0]])
    torch.testing.assert_close(credit(gopo(), 0.1, 5.0, 3.0, -2.0), expected)


def test_the_way_with_ties_is_a_word() -> None:
    assert credit(gopo(), 1.0, 1.0, 1.0, 1.0).abs().max() == 0
    assert credit(gopo(ties="published"), 1.0, 1.0, 1.0, 1.0)[:, 0].tolist() == pytest.approx([2, 2 / 3, -2 / 3, -2])


def test_a_missing_total_is_credited_with_nothing() -> None:
    assert credit(gopo(), 1.0, math.nan, 3.0, 2.0)[:, 0].tolist() == [-2, 0, 2, 0]


def test_the_loss_is_grpos_with_a_kl_and_every_token_alike() -> None:
    """As the recipe's library has it: token mean, clip .2, k3 times .04."""
    algorithm = gopo()
    assert ReferenceLogprobs() in algorithm.signals and algorithm.aggregation == "token_mean"
    same = {name: value for name, value in hyperparameters("gopo").items() if name not in ("kind", "ties")}
    other = grpo.Algorithm(grpo_options.Options(**hyperparameters("grpo", **same)))
    torch.manual_seed(0)
    logp, old, reference = (torch.randn(4, 2).double() for _ in range(3))
    given = minibatch(MASK, credit(algorithm, 1.0, 2.0, 3.0, 4.0).double(), old, reference_logp=reference)
    (found, metrics), (expected, also) = algorithm.policy_loss(logp, given), other.policy_loss(logp, given)
    assert found == expected and metrics == also


def test_hyperparameters_of_grpos_credit_are_refused() -> None:
    for hyperparameter, value in (("scale", "none"), ("baseline", "leave_one_out"), ("overlong_cache", 4)):
        with pytest.raises(ValueError, match=hyperparameter):
            gopo(**{hyperparameter: value})
    with pytest.raises(ValueError, match="ties"):
        gopo(ties="random")
