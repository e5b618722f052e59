"""Intervals and tests against numbers worked out by hand from published counts, and against their own symmetries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_exp.evaluation.statistics import (
    exact_paired_test,
    mean_interval,
    paired_comparison,
    wilson_interval,
)

NAN = math.nan
numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(20, 30, 0.4878, 0.8077), (13, 30, 0.2738, 0.6080), (34, 45, 0.6133, 0.8576), (42, 45, 0.8214, 0.9771)],
)
def test_wilsons_interval_gives_figures_worked_out_from_the_papers_counts(k, n, low, high):
    interval = wilson_interval(k, n)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert interval.share == k / n


def test_shares_of_nothing_and_of_everything_do_not_divide_by_zero():
    assert math.isnan(wilson_interval(0, 0).share)
    assert (wilson_interval(0, 8).low, wilson_interval(8, 8).high) == (0.0, 1.0)
    assert 0 < wilson_interval(0, 8).high < 1  # none of eight does not prove that there is none


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilsons_interval_holds_its_share_and_mirrors(k, rest):
    n = k + rest
    interval, mirror = wilson_interval(k, n), wilson_interval(rest, n)
    if n:
        assert 0 <= interval.low <= interval.share <= interval.high <= 1
        assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)


@pytest.mark.parametrize("bad", [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(bad):
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson_interval(*bad)


def test_mcnemar_counts_only_what_changed():
    assert exact_paired_test(0, 0) == 1.0
    # 5 fell, none rose: 2 * 0.5**5 = 1/16
    assert exact_paired_test(5, 0) == pytest.approx(1 / 16)
    # 7 and 1 of 8: 2 * (1 + 8) / 256
    assert exact_paired_test(7, 1) == pytest.approx(18 / 256)
    assert exact_paired_test(1, 7) == exact_paired_test(7, 1)
    assert exact_paired_test(4, 4) == 1.0


def test_the_sign_flip_test_is_exact_for_few_pairs():
    # Differences 1, 2, 3, 4: of 2**4 sign patterns only + + + + reaches the sum 10, so p = 2 / 16.
    result = paired_comparison([0, 0, 0, 0], [1, 2, 3, 4], seed=0)
    assert result.p == pytest.approx(2 / 16)
    assert (result.n, result.mean_before, result.mean_after, result.difference) == (4, 0.0, 2.5, 2.5)
    # t = 2.5 / (sqrt(5/3) / 2) = 3.873 with 3 degrees of freedom
    assert result.p_t == pytest.approx(0.030466, abs=1e-5)


def test_a_clear_gain_has_a_small_p_and_an_interval_above_zero():
    before = [math.sin(i) for i in range(96)]
    after = [value + 0.5 + 0.3 * math.cos(3 * i) for i, value in enumerate(before)]
    result = paired_comparison(before, after, seed=1)
    assert result.p == pytest.approx(2 / 10_001)  # the smallest that 10,000 resamples can show
    assert 0 < result.low < result.difference < result.high


def test_pairs_with_a_missing_half_are_left_out_and_counted():
    result = paired_comparison([1, NAN, 3, 4], [2, 5, NAN, 5], seed=0)
    assert (result.n, result.missing) == (2, 2)
    assert (result.mean_before, result.mean_after) == (2.5, 3.5)


def test_no_difference_at_all_gives_p_one():
    result = paired_comparison([1.5] * 9, [1.5] * 9, seed=0)
    assert (result.difference, result.low, result.high, result.p, result.p_t) == (0, 0, 0, 1, 1)


def test_one_pair_says_nothing_about_spread():
    result = paired_comparison([1.0], [3.0], seed=0)
    assert (result.n, result.difference, result.p) == (1, 2.0, 1.0)
    assert all(math.isnan(value) for value in (result.low, result.high, result.p_t))


@pytest.mark.parametrize("pair", [([], []), ([NAN], [1.0])])
def test_no_pairs_give_no_numbers(pair):
    result = paired_comparison(*pair, seed=0)
    assert result.n == 0
    assert all(math.isnan(value) for value in (result.mean_before, result.difference, result.low, result.p))


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="2 and 1"):
        paired_comparison([1, 2], [1], seed=0)


def test_a_confidence_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1, 2, 3], seed=0, confidence=95)


def test_equal_differences_do_not_warn(recwarn):
    assert paired_comparison([0, 1, 2], [1, 2, 3], seed=0).p_t == 0
    assert not recwarn.list


def test_one_seed_gives_the_same_bits_and_another_gives_others():
    before, after = [math.sin(7 * i) for i in range(40)], [math.cos(i) for i in range(40)]
    assert paired_comparison(before, after, seed=3) == paired_comparison(before, after, seed=3)
    assert paired_comparison(before, after, seed=3) != paired_comparison(before, after, seed=4)


def test_a_mean_leaves_out_and_counts_what_is_missing():
    result = mean_interval([1.0, NAN, 3.0], seed=0)
    assert (result.n, result.missing, result.mean) == (2, 1, 2.0)
    assert 1 <= result.low <= 2 <= result.high <= 3
    assert mean_interval([NAN], seed=0).missing == 1
    assert math.isnan(mean_interval([], seed=0).mean)


def test_more_confidence_gives_a_wider_interval():
    values = [math.sin(5 * i) for i in range(50)]
    narrow, wide = (mean_interval(values, seed=0, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12))
@settings(max_examples=25, deadline=None)
def test_exchanging_before_and_after_mirrors_the_comparison(pairs):
    before, after = zip(*pairs, strict=True)
    forth = paired_comparison(before, after, seed=0, resamples=200)
    back = paired_comparison(after, before, seed=0, resamples=200)
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.low == pytest.approx(-back.high, abs=1e-9)
    assert forth.p_t == pytest.approx(back.p_t, nan_ok=True)
    assert 0 < forth.p <= 1
