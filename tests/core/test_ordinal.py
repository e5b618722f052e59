"""Advantages from ranks, with golden values that were worked out apart from the code."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.groups import mean_of_peers, peers
from repo_exp.core.ordinal import ordinal_advantage

NAN = math.nan


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def one(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.long)


def close(found, *expected, atol=1e-6) -> None:
    torch.testing.assert_close(found, t(*expected), atol=atol, rtol=0)


def test_golden_ranks() -> None:
    """.1 5 3 -2 have the ranks 3 1 2 4; A = 2 - 4 (rank - 1) / 3."""
    for ties in ("averaged", "published"):
        close(ordinal_advantage(t(0.1, 5, 3, -2), one(4), ties=ties), -0.666667, 2, 0.666667, -2)


def test_golden_ties() -> None:
    """1 1 0 0: ranks 1 2 3 4 in the order drawn, or 1.5 1.5 3.5 3.5 shared."""
    close(ordinal_advantage(t(1, 1, 0, 0), one(4), ties="published"), 2, 0.666667, -0.666667, -2)
    close(ordinal_advantage(t(1, 1, 0, 0), one(4), ties="averaged"), 1.333333, 1.333333, -1.333333, -1.333333)


def test_equal_responses_get_nothing_unless_chance_shall_decide() -> None:
    assert ordinal_advantage(torch.full((3,), 0.1), one(3), ties="averaged").tolist() == [0, 0, 0]
    assert ordinal_advantage(torch.full((3,), 0.1), one(3), ties="published").tolist() == [2, 0, -2]


@pytest.mark.parametrize(("size", "spread"), [(2, 2.828427), (4, 1.721326), (8, 1.399708), (16, 1.269587)])
def test_golden_spread_of_the_advantages(size, spread) -> None:
    advantage = ordinal_advantage(torch.arange(size).double(), one(size), ties="averaged")
    assert advantage.std().item() == pytest.approx(spread, abs=1e-6)


@given(st.lists(st.integers(-40, 40), min_size=2, max_size=9), st.sampled_from(["averaged", "published"]))
def test_only_the_order_of_totals_counts(values, ties) -> None:
    """exp and 10 r + 3 rise strictly, so they change nothing; the sum is 0, nothing is beyond 2."""
    r = t(*values) / 8
    found = ordinal_advantage(r, one(len(r)), ties=ties)
    for other in (r.exp(), 10 * r + 3):
        assert torch.equal(ordinal_advantage(other, one(len(r)), ties=ties), found)
    assert found.sum().item() == pytest.approx(0, abs=1e-9) and found.abs().max() <= 2
    if len(set(values)) == len(values):
        assert (found.max(), found.min()) == (2, -2)


def test_groups_are_ranked_apart() -> None:
    """Two groups, interleaved: 1 3 and 10 30 20."""
    group = torch.tensor([7, 2, 7, 2, 2])
    close(ordinal_advantage(t(1, 10, 3, 30, 20), group, ties="averaged"), -2, -2, 2, 2, 0)


def test_a_missing_total_has_no_rank() -> None:
    """Of 1, none, 3, 2 three are ranked: 3, -, 1, 2. One that is alone with a total is better than nobody."""
    for ties in ("averaged", "published"):
        close(ordinal_advantage(t(1, NAN, 3, 2), one(4), ties=ties), -2, 0, 2, 0)
        close(ordinal_advantage(t(NAN, 5, NAN), one(3), ties=ties), 0, 0, 0)


def test_what_is_no_way_to_break_ties_is_refused() -> None:
    with pytest.raises(ValueError, match="averaged or published, got 'random'"):
        ordinal_advantage(t(1, 2), one(2), ties="random")
    with pytest.raises(ValueError, match="equal shapes"):
        ordinal_advantage(t(1, 2), one(3), ties="averaged")


def test_peers_and_their_mean_by_hand() -> None:
    """Group 0: 1 and 3, one of which is missing for the third; group 1: nobody is there."""
    there = torch.tensor([True, True, False, False])
    peer = peers(torch.tensor([0, 0, 0, 1]), there)
    assert peer.tolist() == [[True, True, False, False]] * 3 + [[False] * 4]
    found = mean_of_peers(t(1, 3, NAN, 9), peer)
    close(found[:3], 2, 2, 2)
    assert found[3].isnan()


def test_the_mean_of_equal_numbers_is_that_number() -> None:
    """The sum of three times 0.1 over 3 is not 0.1 in binary."""
    x = torch.full((3,), 0.1, dtype=torch.float64)
    assert (x.sum() / 3 != 0.1) and torch.equal(mean_of_peers(x, peers(one(3), one(3) == 0)), x)
