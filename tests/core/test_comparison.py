"""Advantages over other trajectories, by hand; combiners use them in tests/rewards/test_combine_batch.py."""

import math

import pytest

from repo_exp.core.comparison import comparison_groups, lexicographic, z_scores

NAN = math.nan


def test_responses_are_compared_in_their_groups_or_all_together() -> None:
    assert comparison_groups(["a", "b", "a", "b"]) == [[0, 2], [1, 3]]
    assert comparison_groups(["a", "b", "c"]) == [[0, 1, 2]]
    assert comparison_groups(["a", "b", "a"]) == [[0, 1, 2]]  # b is alone in its group
    assert comparison_groups([]) == []


def test_z_scores_by_hand() -> None:
    """1 2 3 6: mean 3, unbiased deviation 2.160247. 1 and 3: mean 2, deviation 1.414214."""
    assert z_scores([1, 2, 3, 6]) == pytest.approx([-0.925777, -0.462889, 0, 1.388666], abs=1e-6)
    assert z_scores([1, NAN, 3]) == pytest.approx([-0.707057, 0, 0.707057], abs=1e-6)


def test_without_spread_there_are_no_z_scores() -> None:
    """0.1 three times: its mean in binary is not 0.1, and the difference over 1e-4 must not become a score."""
    assert z_scores([0.1] * 3) == [0, 0, 0]
    assert z_scores([5.0, NAN]) == [0, 0] and z_scores([NAN]) == [0] and z_scores([]) == []


def test_an_order_of_importance_by_hand() -> None:
    """The first source ties the first two; the second one tells them apart by more than 1, and would love the third."""
    assert lexicographic([[1, 1, 0], [0, 2, 9]], tolerance_K=[0, 1]) == [0, 1, -1]
    assert lexicographic([[1, 1, 0], [0, 2, 9]], tolerance_K=[0, 2]) == [0.5, 0.5, -1]  # 2 apart is alike
    assert lexicographic([[3.0]], tolerance_K=[0]) == [0]


def test_a_missing_score_decides_nothing() -> None:
    assert lexicographic([[1, NAN, 0]], tolerance_K=[0]) == [0.5, 0, -0.5]
    assert lexicographic([[1, NAN, 0], [0, 5, 0]], tolerance_K=[0, 0]) == [0, 1, -1]


def test_every_source_has_its_tolerance() -> None:
    with pytest.raises(ValueError, match="zip"):
        lexicographic([[1, 2]], tolerance_K=[0, 0])
