"""GRPO-CARE's bonus, with golden values that were worked out apart from the code."""

import math

import pytest
import torch

from repo_exp.core.advantage import group_advantage
from repo_exp.core.consistency import answer_likelihood, consistency_bonus

HYPERPARAMETERS = {"weight": 0.5, "accuracy_floor": 0.1, "likelihood_cap": 0.95, "margin": 0.01}
ONE = torch.zeros(4, dtype=torch.long)
NAN = math.nan


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found, *expected) -> None:
    torch.testing.assert_close(found, t(*expected), atol=1e-6, rtol=0, equal_nan=True)


def bonus(accuracy, likelihood, group=ONE, **changes):
    return consistency_bonus(accuracy, likelihood, group, **HYPERPARAMETERS | changes)


def test_golden_bonus() -> None:
    """Right are 1, 2 and 4; mu = (.95 + .6 + .8) / 3 - .01 = .773333, which 1 and 4 reach."""
    found = bonus(t(1, 1, 0, 1), t(0.99, 0.6, 0.9, 0.8))
    close(found, 0.5, 0, 0, 0.5)
    close(group_advantage(t(2, 2, 1, 2) + found, ONE, scale="group"), 0.707007, 0, -1.414014, 0.707007)


def test_the_margin_lets_a_little_less_than_usual_pass() -> None:
    """.80 and .81, both right: the mean is .805. Without a margin .80 is below it, with .01 it is above .795."""
    two = ONE[:2]
    close(bonus(t(1, 1), t(0.80, 0.81), two), 0.5, 0.5)
    close(bonus(t(1, 1), t(0.80, 0.81), two, margin=0.0), 0, 0.5)


def test_the_cap_makes_sure_answers_equal() -> None:
    """Uncapped .96 is below the mean of .96 and .99; capped both are .95, and the mean of equals is no hair above."""
    three = ONE[:3]
    close(bonus(t(1, 1, 1), t(0.96, 0.99, 0.99), three, margin=0.0), 0.5, 0.5, 0.5)
    close(bonus(t(1, 1, 1), t(0.96, 0.99, 0.99), three, margin=0.0, likelihood_cap=1.0), 0, 0.5, 0.5)


def test_where_nobody_is_right_nobody_earns() -> None:
    """All are at the mean of .05, and below the floor of .1; at a floor of 0 they are selected, all alike."""
    accuracy, likelihood = torch.full((4,), 0.05).double(), t(0.9, 0.9, 0.9, 0.9)
    close(bonus(accuracy, likelihood), 0, 0, 0, 0)
    close(bonus(accuracy, likelihood, accuracy_floor=0.0), *[0.025] * 4)


def test_the_bonus_grows_with_the_accuracy() -> None:
    """Soft accuracies .2 .8 .9: the mean .6333 selects two; of .5 and .7 less .01, only .7 reaches .59."""
    close(bonus(t(0.2, 0.8, 0.9), t(1, 0.5, 0.7), ONE[:3]), 0, 0, 0.45)


def test_groups_know_nothing_of_one_another() -> None:
    group = torch.tensor([5, 1, 5, 1])
    close(bonus(t(1, 1, 1, 1), t(0.9, 0.2, 0.5, 0.3), group), 0.5, 0, 0, 0.5)


def test_what_is_missing_earns_nothing_and_moves_no_mean() -> None:
    """Without the third's accuracy the mean is 1, not NaN; without the fourth's answer mu is .89 and not lower."""
    close(bonus(t(1, 1, NAN, 1), t(0.9, 0.9, 0.1, NAN)), 0.5, 0.5, 0, 0)
    close(bonus(t(1, 1), t(NAN, NAN), ONE[:2]), 0, 0)


def test_golden_likelihood_arithmetic_and_geometric() -> None:
    """Token probabilities .9 and .5: mean .7, root of the product .670820. The first token, here NaN, is no answer."""
    logp = t(NAN, math.log(0.9), math.log(0.5))[None]
    answer = torch.tensor([[False, True, True]])
    close(answer_likelihood(logp, answer, mean="arithmetic"), 0.7)
    close(answer_likelihood(logp, answer, mean="geometric"), 0.670820)


def test_no_answer_has_no_likelihood() -> None:
    for mean in ("arithmetic", "geometric"):
        close(answer_likelihood(t(-1, -2)[None], torch.zeros(1, 2).bool(), mean=mean), NAN)
    with pytest.raises(ValueError, match="arithmetic or geometric, got 'harmonic'"):
        answer_likelihood(t(-1)[None], torch.ones(1, 1).bool(), mean="harmonic")
