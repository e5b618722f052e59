"""Ranks, deviations, divergences and odds against scipy, and formulas against sums that are written out in numpy."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from repo_exp.core import comparison
from repo_exp.core.advantage import gae, group_advantage
from repo_exp.core.enhancement import enhance, enhancement
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import standardize
from repo_exp.core.policy_loss import clipped_surrogate, sequence_ratio
from repo_exp.core.preference import bradley_terry_loss, calibration
from repo_exp.core.probability import ranked_right, shifted
from repo_exp.core.value_loss import clipped_value_error

DRAW = np.random.default_rng(0)
NAN = float("nan")


def t(x) -> torch.Tensor:
    return torch.as_tensor(np.asarray(x, dtype=float))


def same(found, expected) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-9)


def test_deviations_in_a_group_are_z_scores() -> None:
    score = DRAW.normal(size=(3, 6))
    group = torch.arange(3).repeat_interleave(6)
    expected = stats.zscore(score, axis=1, ddof=1)
    same(group_advantage(t(score.ravel()), group, scale="group", eps=0.0), expected.ravel())
    same(comparison.z_scores(score[0], eps=0.0), expected[0])
    score[1, 2] = NAN
    expected = np.nan_to_num(stats.zscore(score, axis=1, ddof=1, nan_policy="omit"))
    same(group_advantage(t(score.ravel()), group, scale="group", eps=0.0), expected.ravel())
    same(comparison.z_scores(score[1], eps=0.0), expected[1])


def test_standardised_tokens_are_z_scores() -> None:
    x, mask = DRAW.normal(size=(4, 5)), DRAW.random((4, 5)) < 0.6
    expected = np.zeros((4, 5))
    expected[mask] = stats.zscore(x[mask], ddof=1)
    same(standardize(t(x), torch.as_tensor(mask), eps=0.0), expected)


def test_leave_one_out_written_out() -> None:
    score = DRAW.normal(size=6)
    expected = [score[i] - np.delete(score, i).mean() for i in range(6)]
    same(group_advantage(t(score), torch.zeros(6).long(), scale="none", baseline="leave_one_out"), expected)


def test_an_order_of_importance_is_a_rank_of_tuples() -> None:
    """Of N responses, one of mean rank r (1 is the worst) beats r - 1 and is beaten by N - r, ties half each."""
    rows = DRAW.integers(0, 3, size=(3, 9)).astype(float)
    _, dense = np.unique(rows.T, axis=0, return_inverse=True)  # sorted by the first source, then the second, ...
    rank = stats.rankdata(dense)
    same(comparison.lexicographic(rows, tolerance_K=[0, 0, 0]), (2 * rank - 10) / 8)


def test_estimators_of_the_kl_are_right_on_average() -> None:
    """Over all tokens, weighed by pi, k1 and k3 are the divergence."""
    policy, reference = (special.softmax(DRAW.normal(size=8)) for _ in range(2))
    for estimator in ("k1", "k3"):
        found = kl_per_token(t(np.log(policy)), t(np.log(reference)), estimator=estimator)
        same((t(policy) * found).sum(), stats.entropy(policy, reference))


def test_gae_written_out() -> None:
    """A_t = sum over l of (gamma lambda)^l delta_{t + l}."""
    reward, value, gamma, lam = DRAW.normal(size=6), DRAW.normal(size=6), 0.97, 0.9
    delta = reward + gamma * np.append(value[1:], 0) - value
    expected = [sum((gamma * lam) ** k * delta[i + k] for k in range(6 - i)) for i in range(6)]
    found = gae(t(reward)[None], t(value)[None], torch.ones(1, 6).bool(), gamma=gamma, gae_lambda=lam)
    same(found[0], expected)


def test_the_enhancement_in_its_four_cases() -> None:
    """R (1 + E / n) where R > 0, R (1 - E / n) where R < 0."""
    model, judge, rules = DRAW.normal(size=40), DRAW.normal(0, 80, 40), DRAW.normal(0, 80, 40)
    e = np.clip(judge + rules, -100, 100)
    expected = np.where(model > 0, model * (1 + e / 100), model * (1 - e / 100))
    same(t(enhance(model, enhancement([judge, rules], size=40, n=100), n=100)), expected)


def test_the_surrogate_is_minus_the_smaller_of_two_objectives() -> None:
    ratio, advantage = np.exp(DRAW.normal(size=40)), DRAW.normal(size=40)
    expected = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.3) * advantage)
    same(clipped_surrogate(t(ratio), t(advantage), low=0.2, high=0.3), expected)


def test_a_sequence_ratio_is_a_geometric_mean() -> None:
    new, old = DRAW.normal(size=(3, 5)), DRAW.normal(size=(3, 5))
    found = sequence_ratio(t(new), t(old), torch.ones(3, 5).bool())
    same(found, np.repeat(stats.gmean(np.exp(new - old), axis=1)[:, None], 5, 1))


def test_the_value_error_written_out() -> None:
    value, old, returns = DRAW.normal(size=(3, 30))
    clipped = old + np.clip(value - old, -0.2, 0.2)
    expected = np.maximum((value - returns) ** 2, (clipped - returns) ** 2) / 2
    same(clipped_value_error(t(value), t(old), t(returns), clip=0.2), expected)


def test_bradley_terry_is_a_logistic_regression_on_differences() -> None:
    chosen, rejected = DRAW.normal(size=(2, 20))
    same(bradley_terry_loss(t(chosen), t(rejected)), -special.log_expit(chosen - rejected))


def test_calibration_is_mean_and_unbiased_deviation() -> None:
    score = DRAW.normal(3, 2, size=30)
    assert calibration(t(score)) == pytest.approx((score.mean(), stats.tstd(score)))


def test_a_shift_is_one_of_log_odds() -> None:
    for p in DRAW.random(10):
        assert shifted(p, 0.7) == pytest.approx(special.expit(special.logit(p) + 0.7))


def test_the_area_under_the_curve_is_a_rank_sum() -> None:
    yes, no = DRAW.integers(0, 6, 12) / 5, DRAW.integers(0, 6, 9) / 5
    expected = stats.mannwhitneyu(yes, no).statistic / (12 * 9)
    assert ranked_right(yes.tolist(), no.tolist()) == pytest.approx(expected)
    ranks = stats.rankdata(np.concatenate([yes, no]))[:12]
    assert ranked_right(yes.tolist(), no.tolist()) == pytest.approx((ranks.sum() - 12 * 13 / 2) / (12 * 9))
