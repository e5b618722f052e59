"""The enhancement: golden values of the four cases, then the promises of the docstrings, one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.enhancement import enhance, enhancement, sum_of_points

score, points = st.floats(-5, 5), st.floats(-300, 300)
bound = st.floats(1, 200)
batch = st.lists(st.tuples(score, points, points), min_size=1, max_size=6)

# R_model, E_judge, E_func, E, R_total at n = 100: R_total = R_model + |R_model| E / 100
BY_HAND = [
    (2.0, 30, -10, 20, 2.4),  # 2 + 2 * 0.2
    (2.0, -80, -60, -100, 0.0),  # -140 is clipped to -100: 2 - 2
    (-1.5, 40, 0, 40, -0.9),  # -1.5 + 1.5 * 0.4
    (-1.5, -70, -50, -100, -3.0),  # -1.5 - 1.5
    (-1.5, 100, 30, 100, 0.0),
    (0.8, 90, 60, 100, 1.6),
    (0.0, 50, 20, 70, 0.0),
    (1.2, 0, 0, 0, 1.2),
    (1.0, 150, -60, 90, 1.9),  # clip(150 - 60) = 90; a sum of clips would give 100 - 60 = 40
]


def a(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def total(model: np.ndarray, *points: np.ndarray, n: float) -> np.ndarray:
    return enhance(model, enhancement(points, size=len(model), n=n), n=n)


def one(model: float, *points: float, n: float) -> float:
    return total(a(model), *(a(each) for each in points), n=n).item()


def test_values_by_hand() -> None:
    model, judge, rules, e, expected = (a(*column) for column in zip(*BY_HAND, strict=True))
    np.testing.assert_allclose(enhancement([judge, rules], size=len(model), n=100), e)
    np.testing.assert_allclose(total(model, judge, rules, n=100), expected, atol=1e-12)


def test_a_batch_tells_the_published_form_from_its_neighbours() -> None:
    """Sign-blind R (1 + E/n) would give [3, .5, -1.5, -1], additive R + E/n [2.5, .5, -.5, -2.5]."""
    found = total(a(2, 1, -1, -2), a(50, -50, 50, -50), a(0, 0, 0, 0), n=100)
    np.testing.assert_array_equal(found, a(3.0, 0.5, -0.5, -3.0))


@given(batch, bound)
def test_it_has_the_bits_of_the_formula_one_response_at_a_time(rows, n) -> None:
    """Python's own floats, in the order of the formula."""
    model, judge, rules = (a(*column) for column in zip(*rows, strict=True))
    expected = [m + abs(m) * (min(max(j + r, -n), n) / n) for m, j, r in rows]
    assert total(model, judge, rules, n=n).tolist() == expected


@given(score, points, points, bound)
def test_never_turns_the_sign_and_at_most_doubles(model, judge, rules, n) -> None:
    found = one(model, judge, rules, n=n)
    assert found * model >= 0
    assert abs(found) <= 2 * abs(model) * (1 + 1e-12)


@given(score, points, st.floats(0, 100), points, bound)
def test_a_better_judgement_never_lowers_the_reward(model, judge, gain, rules, n) -> None:
    assert one(model, judge + gain, rules, n=n) >= one(model, judge, rules, n=n) - 1e-9


@given(score, points, points, bound, st.floats(0.1, 10))
def test_scales_with_the_reward_model_and_mirrors_with_the_signs(model, judge, rules, n, c) -> None:
    found = one(model, judge, rules, n=n)
    assert one(c * model, judge, rules, n=n) == pytest.approx(c * found, abs=1e-9)
    assert one(-model, -judge, -rules, n=n) == pytest.approx(-found, abs=1e-9)


@given(score, bound)
def test_points_of_zero_and_no_points_leave_the_score_alone_bit_for_bit(model, n) -> None:
    assert one(model, 0.0, 0.0, n=n) == one(model, n=n) == model


@given(score, points, points, points, bound)
def test_any_number_of_sources_adds_up(model, first, second, third, n) -> None:
    assert one(model, first, second, third, n=n) == pytest.approx(one(model, first + second + third, n=n), abs=1e-9)


def test_missing_points_count_as_nothing_and_a_missing_score_stays_missing() -> None:
    assert one(2.0, math.nan, -50, n=100) == one(2.0, -50, math.nan, n=100) == 1.0
    assert enhancement([a(math.nan), a(math.nan)], size=1, n=100).item() == 0
    assert math.isnan(one(math.nan, 50, 0, n=100))
    assert sum_of_points([a(150, math.nan), a(-60, 5)], size=2).tolist() == [90, 5]


def test_shapes_and_bound_are_checked() -> None:
    with pytest.raises(ValueError, match=r"2 trajectories need 2 scores of each source, got shape \(1,\)"):
        enhancement([a(0, 0), a(1)], size=2, n=1)
    with pytest.raises(ValueError, match=r"base \(1,\) and enhancement \(2,\)"):
        enhance(a(1), a(1, 2), n=1)
    for n in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be > 0"):
            enhancement([], size=1, n=n)
        with pytest.raises(ValueError, match="must be > 0"):
            enhance(a(1), a(0), n=n)
