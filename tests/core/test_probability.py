"""Odds, shifts and ranks, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.probability import log_odds, ranked_right, shifted


def test_a_shift_by_hand() -> None:
    """Odds of 1 to 1, a base rate nine times rarer: odds of 1 to 9."""
    assert shifted(0.5, -math.log(9)) == pytest.approx(0.1)
    assert log_odds(1, 9) == pytest.approx(-math.log(9))


@given(st.floats(0.001, 0.999), st.floats(-5, 5))
def test_a_shift_and_its_opposite_cancel(p, offset) -> None:
    assert shifted(shifted(p, offset), -offset) == pytest.approx(p)
    assert shifted(p, 0.0) == pytest.approx(p)


def test_certainty_and_no_answer_are_not_shifted() -> None:
    assert shifted(0.0, 3) == 0.0 and shifted(1.0, -3) == 1.0 and math.isnan(shifted(math.nan, 1))


def test_ranks_by_hand() -> None:
    """(.9, .4) against (.5, .4): .9 wins twice, .4 loses once and ties once: 2.5 of 4."""
    assert ranked_right([0.9, 0.4], [0.5, 0.4]) == pytest.approx(2.5 / 4)
    assert math.isnan(ranked_right([], [0.5]))
