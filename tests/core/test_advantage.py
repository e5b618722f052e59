"""Rewards placed, advantages by hand, and what padding must not do."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.advantage import gae, group_advantage, in_unequal_groups, reward_at_last_token
from repo_exp.core.masks import aggregation_weights, masked_mean, masked_sum, standardize, weighted_sum


def t(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


ALL = torch.ones(1, 3, dtype=torch.bool)
VALUE = t([[0.5, 0.6, 0.7]])


def test_the_reward_lies_at_the_last_token_of_each_response() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]]).bool()
    torch.testing.assert_close(reward_at_last_token(t([2.4, -1, 5]), mask), t([[0, 0, 2.4], [-1, 0, 0], [0, 0, 0]]))


def test_advantages_by_hand() -> None:
    """delta = [.6 - .5, .7 - .6, 2.4 - .7] = [.1, .1, 1.7]; A2 = 1.7, A1 = .1 + .95 * 1.7, A0 = .1 + .95 * A1."""
    advantage = gae(t([[0, 0, 2.4]]), VALUE, ALL, gamma=1.0, gae_lambda=0.95)
    torch.testing.assert_close(advantage, t([[1.72925, 1.715, 1.7]]))
    torch.testing.assert_close(advantage + VALUE, t([[2.22925, 2.315, 2.4]]))
    at_once = gae(t([[0, 0, 2.4]]), VALUE, ALL, gamma=1.0, gae_lambda=1.0)
    torch.testing.assert_close(at_once, t([[1.9, 1.8, 1.7]]))
    torch.testing.assert_close(at_once + VALUE, t([[2.4, 2.4, 2.4]]))


def test_a_discount_by_hand() -> None:
    advantage = gae(t([[0, 0, 2.4]]), VALUE, ALL, gamma=0.99, gae_lambda=0.95)
    torch.testing.assert_close(advantage, t([[1.685185, 1.69185, 1.7]]), atol=1e-6, rtol=0)


def test_lambda_one_is_return_minus_value_and_lambda_zero_one_step() -> None:
    reward = t([[0.3, -0.2, 2.4]])
    monte_carlo = gae(reward, VALUE, ALL, gamma=1.0, gae_lambda=1.0)
    torch.testing.assert_close(monte_carlo + VALUE, t([[2.5, 2.2, 2.4]]))  # sums of what is still to come
    one_step = gae(reward, VALUE, ALL, gamma=1.0, gae_lambda=0.0)
    torch.testing.assert_close(one_step, t([[0.3 + 0.6 - 0.5, -0.2 + 0.7 - 0.6, 2.4 - 0.7]]))


def test_padding_cannot_matter_even_if_it_is_nan() -> None:
    mask = torch.tensor([[True, True, True, False, False]])
    junk = [math.nan, math.inf]
    padded = gae(t([[0, 0, 2.4, *junk]]), t([[0.5, 0.6, 0.7, *junk]]), mask, gamma=1.0, gae_lambda=0.95)
    torch.testing.assert_close(padded, t([[1.72925, 1.715, 1.7, 0, 0]]))


def test_standardize_by_hand() -> None:
    """Two responses of 3 and 2 tokens: mean 0.5798..., unbiased variance over the 5 tokens that count."""
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    x = t([[1.72925, 1.715, 1.7], [-1.145, -1.1, math.nan]])
    expected = t([[0.739572, 0.730403, 0.720752], [-1.109841, -1.080886, 0]])
    torch.testing.assert_close(standardize(x, mask), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        standardize(t([[1.72925, 1.715, 1.7]]), ALL), t([[0.991321, 0.017092, -1.008413]]), atol=1e-5, rtol=0
    )


def test_the_mean_can_be_kept_while_the_spread_becomes_one() -> None:
    """1.71475 is added to [.991321, .017092, -1.008413] again; padding stays 0."""
    mask = torch.tensor([[1, 1, 1, 0]]).bool()
    kept = standardize(t([[1.72925, 1.715, 1.7, math.nan]]), mask, keep_mean=True)
    torch.testing.assert_close(kept, t([[2.706071, 1.731842, 0.706337, 0]]), atol=1e-5, rtol=0)


def test_a_single_token_has_no_spread() -> None:
    mask = torch.tensor([[True, False]])
    assert standardize(t([[3.0, 9.0]]), mask).tolist() == [[0.0, 0.0]]
    assert standardize(t([[3.0, 9.0]]), mask, keep_mean=True).tolist() == [[3.0, 0.0]]


def test_which_responses_are_in_a_group_with_spread() -> None:
    """Groups 0: 1 2 3, 1: alike, 2: alike but for one without a number, 3: one alone."""
    x = t([1, 2, 3, 0.1, 0.1, 5, math.nan, 5, 7])
    group = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    assert in_unequal_groups(x, group).tolist() == [True] * 3 + [False] * 6


@pytest.mark.parametrize(
    ("aggregation", "expected"), [("sequence_mean", 0.5), ("sequence_sum", 1.0), ("constant", 0.25)]
)
def test_a_response_without_a_token_is_not_counted_as_a_response(aggregation, expected) -> None:
    """One response of two tokens beside an empty one, at most 4 tokens: 1 / (1 * 2), 1 / 1 and 1 / (1 * 4)."""
    mask = torch.tensor([[1, 1], [0, 0]]).bool()
    assert aggregation_weights(mask, aggregation, longest=4).tolist() == [[expected] * 2, [0, 0]]


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("token_mean", 2.0), ("sequence_mean", 2.0), ("sequence_sum", 6.0), ("constant", 0.75)],
)
def test_golden_ways_to_count_tokens(aggregation, expected) -> None:
    """Losses 1 3 and 2 2 0 4, at most 8 tokens: 12 / 6, (2 + 2) / 2, (4 + 8) / 2 and 12 / (2 * 8)."""
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    weight = aggregation_weights(mask, aggregation, longest=8)
    assert weighted_sum(t([[1, 3, 9, 9], [2, 2, 0, 4]]), weight).item() == pytest.approx(expected)


@given(st.lists(st.integers(-9, 9), min_size=4, max_size=4), st.floats(0.5, 4), st.floats(-5, 5))
def test_a_groups_standing_knows_no_shift_and_its_scale_only_where_nothing_divides(worths, a, b) -> None:
    total, group = t(worths), torch.zeros(4, dtype=torch.long)
    moved = a * total + b
    torch.testing.assert_close(
        group_advantage(moved, group, scale="group"), group_advantage(total, group, scale="group"), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        group_advantage(moved, group, scale="none"), a * group_advantage(total, group, scale="none")
    )


@pytest.mark.parametrize("longest", [3, 7])
def test_ways_to_count_tokens_agree_where_all_responses_are_equally_long(longest) -> None:
    mask = torch.ones(4, 3, dtype=torch.bool)
    mean, sequences = (aggregation_weights(mask, how, longest=longest) for how in ("token_mean", "sequence_mean"))
    torch.testing.assert_close(mean, sequences)
    torch.testing.assert_close(aggregation_weights(mask, "constant", longest=longest) * longest, mean * 3)


def test_masked_means_of_parts_add_up_to_the_whole() -> None:
    x, mask = torch.randn(4, 5, dtype=torch.float64), torch.rand(4, 5) > 0.4
    count = float(mask.sum())
    parts = masked_mean(x[:1], mask[:1], count=count) + masked_mean(x[1:], mask[1:], count=count)
    torch.testing.assert_close(parts, masked_mean(x, mask))
    assert masked_sum(t([[math.nan, 1]]), torch.tensor([[False, True]])).item() == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="gae needs equal shapes"):
        gae(t([[0, 0]]), VALUE, ALL, gamma=1, gae_lambda=1)
