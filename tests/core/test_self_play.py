"""SPPO's win rates, targets and losses, with golden values that were worked out apart from the code."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.self_play import best_and_worst, self_play_loss, self_play_target, win_rate

NAN = math.nan
SCORES = (1, 0.2, -0.5, 0.3, -1)


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def one(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.long)


def close(found, *expected, atol=1e-6) -> None:
    torch.testing.assert_close(found, t(*expected), atol=atol, rtol=0, equal_nan=True)


def test_golden_win_rates() -> None:
    """The mean of sigmoid(R_i - R_j) over five responses, 1/2 against oneself."""
    close(win_rate(t(*SCORES), one(5)), 0.711307, 0.544352, 0.389345, 0.56652, 0.288477)


def test_golden_targets() -> None:
    """(.711307 - .5) / .001 for the best, (.288477 - .5) / .001 for the worst; single: sigmoid(2) = .880797; hard."""
    for target, best, worst in (("win_rate", 211.307, -211.523), ("single", 380.797, -380.797), ("hard", 500, -500)):
        found, kept = self_play_target(t(*SCORES), one(5), beta=0.001, target=target)
        close(found, best, 0, 0, 0, worst, atol=1e-3)
        assert kept.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(
    ("target", "targets", "golden"),
    [("win_rate", (150, -200), 27954), ("hard", (500, -500), 480208), ("single", (380, -380), 136904)],
)
def test_golden_losses_of_a_pair(target, targets, golden) -> None:
    """s = 12 and -8; P = .65 and .30, 1 and 0, .88 and .12, at a beta of .001."""
    assert self_play_loss(t(12, -8), t(*targets), target=target).sum().item() == pytest.approx(golden)


def test_golden_loss_where_nothing_has_moved() -> None:
    """(150^2 + 200^2) / 2."""
    assert self_play_loss(t(0, 0), t(150, -200), target="win_rate").sum().item() == pytest.approx(31250)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=7))
def test_win_rates_sum_to_half_of_the_group_and_follow_the_totals(values) -> None:
    r = t(*values) / 4
    rate = win_rate(r, one(len(r)))
    assert rate.sum().item() == pytest.approx(len(r) / 2)
    assert torch.equal(rate.argsort(stable=True), r.argsort(stable=True)) or len(set(values)) < len(values)
    torch.testing.assert_close(win_rate(r + 7, one(len(r))), rate)


def test_a_group_has_one_winner_and_one_loser() -> None:
    """Of equal ones the first; a group of equals has neither."""
    assert best_and_worst(t(2, 5, 5, 1, 1), one(5)).tolist() == [0, 1, 0, -1, 0]
    assert best_and_worst(t(3, 3, 3), one(3)).tolist() == [0, 0, 0]
    assert best_and_worst(t(1, 9, 2, 8), torch.tensor([0, 1, 0, 1])).tolist() == [-1, 1, 1, -1]


def test_a_missing_total_neither_wins_nor_loses() -> None:
    """1 and 3 are left: sigmoid(-2) = .119203, with 1/2 against oneself .309601; one total alone plays nobody."""
    close(win_rate(t(1, NAN, 3), one(3)), 0.309601, NAN, 0.690399)
    assert best_and_worst(t(1, NAN, 3), one(3)).tolist() == [-1, 0, 1]
    found, kept = self_play_target(t(NAN, 4, NAN), one(3), beta=0.001, target="hard")
    assert found.tolist() == [0, 0, 0] and not kept.any()


def test_no_target_is_refused() -> None:
    with pytest.raises(ValueError, match="win_rate, single or hard, got 'soft'"):
        self_play_target(t(1, 2), one(2), beta=1.0, target="soft")
