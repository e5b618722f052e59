"""The smallest cases and the bounds: no response, no token, one token, two of them, and what a clamp is for."""

import math

import pytest
import torch

from repo_exp.core.advantage import gae, group_advantage, reward_at_last_token
from repo_exp.core.diagnostics import explained_variance, surrogate_metrics
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import aggregation_weights, masked_mean, standardize
from repo_exp.core.policy_loss import is_clipped, sequence_ratio, truncated_importance

NAN = math.nan


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mask(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def test_a_batch_without_responses_has_no_advantages() -> None:
    nobody = torch.zeros(0, dtype=torch.long)
    for scale in ("group", "batch", "none"):
        assert group_advantage(t(), nobody, scale=scale).shape == (0,)


def test_two_responses_have_a_deviation() -> None:
    """1 and 3: mean 2, unbiased deviation sqrt 2, in the group and in the batch."""
    for scale in ("group", "batch"):
        found = group_advantage(t(1, 3), torch.zeros(2).long(), scale=scale)
        torch.testing.assert_close(found, t(-1, 1) / (math.sqrt(2) + 1e-4))


def test_a_response_of_one_token() -> None:
    one, value = mask([True]), t([0.5])
    torch.testing.assert_close(gae(t([2.0]), value, one, gamma=0.9, gae_lambda=0.9), t([1.5]))
    assert reward_at_last_token(t(2.0), one).tolist() == [[2.0]]


def test_two_tokens_have_a_deviation() -> None:
    """1 and 3: mean 2, unbiased variance 2."""
    torch.testing.assert_close(standardize(t([1, 3]), mask([1, 1])), t([-math.sqrt(0.5), math.sqrt(0.5)]))


def test_a_mean_over_nothing_is_zero() -> None:
    assert masked_mean(t([NAN]), mask([0])).item() == 0


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token_mean", [[0, 0], [1 / 3, 0], [1 / 3, 1 / 3]]),
        ("sequence_mean", [[0, 0], [1 / 2, 0], [1 / 4, 1 / 4]]),  # the response without tokens is none
        ("sequence_sum", [[0, 0], [1 / 2, 0], [1 / 2, 1 / 2]]),
        ("constant", [[0, 0], [1 / 8, 0], [1 / 8, 1 / 8]]),  # at most 4 tokens a response
    ],
)
def test_weights_of_responses_with_no_one_and_two_tokens(aggregation, expected) -> None:
    mask_BT = mask([0, 0], [1, 0], [1, 1])
    torch.testing.assert_close(aggregation_weights(mask_BT, aggregation, longest=4), torch.tensor(expected))
    assert aggregation_weights(mask_BT[:1], aggregation, longest=4).tolist() == [[0, 0]]


def test_sequence_ratios_of_responses_with_no_one_and_two_tokens() -> None:
    """Log-ratios: none; -1 - -2 = 1; (-1 + 3 + -4 + 3) / 2 = .5."""
    logp_BT, old_BT = t([NAN, NAN], [-1, NAN], [-1, -4]), t([NAN, NAN], [-2, NAN], [-3, -3])
    found = sequence_ratio(logp_BT, old_BT, mask([0, 0], [1, 0], [1, 1]))
    torch.testing.assert_close(found, t(1, math.e, math.exp(0.5))[:, None].expand(3, 2))


def test_cispo_by_hand() -> None:
    """Ratio 1.5 is cut to 1.2, times A = 2 and log pi = -3: 7.2."""
    found = truncated_importance(t(-3.0), t(1.5), t(2.0), high=1.2)
    torch.testing.assert_close(found, t(7.2))


def test_the_clip_decides_only_beyond_its_range_and_on_the_favoured_side() -> None:
    """Range 0.9 to 1.5: the lower bound serves A < 0 and the upper one A > 0."""
    ratio, low, high = t(0.5, 0.95, 1.4, 1.6), 0.1, 0.5
    assert is_clipped(ratio, t(1, 1, 1, 1), low=low, high=high).tolist() == [False, False, False, True]
    assert is_clipped(ratio, t(-1, -1, -1, -1), low=low, high=high).tolist() == [True, False, False, False]


def test_one_odd_token_cannot_fill_the_batch() -> None:
    """d is held inside +-20, k3 below 10."""
    far, near = t(-1000.0, 0.0), t(0.0, -1000.0)
    assert kl_per_token(far, near, estimator="k1").tolist() == [-20, 20]
    assert kl_per_token(far, near, estimator="k2").tolist() == [200, 200]
    assert kl_per_token(far, near, estimator="k3").tolist() == [10, 10]


def test_metrics_take_the_old_policy_and_leave_padding_alone() -> None:
    """log pi moved from -2 to -1.5: 0.5 * 0.25 / 1."""
    share, nan = t([1, 0]), NAN
    metrics = surrogate_metrics(t([-1.5, nan]), t([-2, nan]), t([1, nan]), t([1, nan]), share, low=0.2, high=0.2)
    assert metrics == {"policy/approx_kl": 0.125, "policy/clip_fraction": 0, "policy/ratio": 1}


def test_returns_of_a_small_spread_are_explained_too() -> None:
    """Returns 0 and 0.1, values 0 and 0.05: a quarter of the variance is left."""
    found = explained_variance(t([0, 0.05]), t([0, 0.1]), mask([1, 1]))
    assert found.item() == pytest.approx(0.75)
