"""Bradley-Terry with margins and ties, POLAR's published pair, and RRM's filter."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.preference import bradley_terry_loss, disagrees

SCORES = st.floats(-5, 5)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def loss(first: float, second: float, **how) -> float:
    return bradley_terry_loss(t(first), t(second), **how).item()


def test_the_golden_pair_with_a_margin_and_with_centring() -> None:
    """-log sigmoid(0.9); -log sigmoid(0.9 - 0.5); the first plus 0.01 * 1.5^2 = 0.0225."""
    assert loss(1.2, 0.3) == pytest.approx(0.341154, abs=1e-6)
    assert loss(1.2, 0.3, margin_B=t(0.5)) == pytest.approx(0.513015, abs=1e-6)
    assert loss(1.2, 0.3, centring=0.01) == pytest.approx(0.363654, abs=1e-6)


def test_a_margin_belongs_to_its_own_pair() -> None:
    both = bradley_terry_loss(t(1.2, 1.2), t(0.3, 0.3), margin_B=t(0.0, 0.5))
    assert both.tolist() == pytest.approx([0.341154, 0.513015], abs=1e-6)


def test_a_tie_by_hand() -> None:
    """Equal scores: log 2. At 0.9 apart: half of 0.341154 + 1.241154."""
    assert loss(0.7, 0.7, label_B=t(0.5)) == pytest.approx(math.log(2))
    assert loss(1.2, 0.3, label_B=t(0.5)) == pytest.approx(0.791154, abs=1e-6)


@given(SCORES, SCORES)
def test_a_tie_is_symmetric_and_never_below_that_of_equal_scores(first, second) -> None:
    tie = loss(first, second, label_B=t(0.5))
    assert tie == pytest.approx(loss(second, first, label_B=t(0.5)))
    assert tie >= math.log(2) - 1e-12


def test_polars_published_pair() -> None:
    """-log sigmoid(-0.5702978 + 11.0303707); equal scores: log 2; the other way round: the distance more."""
    assert loss(-0.5702978, -11.0303707) == pytest.approx(2.866e-05, rel=1e-3)
    assert loss(-3.0, -3.0) == pytest.approx(0.693147, abs=1e-6)
    assert loss(-11.0303707, -0.5702978) - loss(-0.5702978, -11.0303707) == pytest.approx(10.4600729)


def test_a_pair_is_kept_where_the_first_model_is_off_by_a_fifth() -> None:
    assert not disagrees(0.95, 1.0, least=0.2)  # off by 0.05
    assert disagrees(0.75, 0.5, least=0.2)
    assert disagrees(0.1, 1.0, least=0.2) and not disagrees(0.5, 0.5, least=0.2)
