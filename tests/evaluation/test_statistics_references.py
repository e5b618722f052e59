"""Intervals and tests against scipy, against sums written out, and by what they promise of any numbers."""

from __future__ import annotations

import itertools
import math
import random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from repo_exp.evaluation.statistics import (
    exact_paired_test,
    mean_interval,
    paired_comparison,
    wilson_interval,
)

whole = st.integers(-20, 20).map(float)
pairs = st.lists(st.tuples(whole, whole), min_size=2, max_size=8)


@settings(max_examples=40)
@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilsons_interval_is_scipys(k, rest, confidence) -> None:
    found = wilson_interval(k, k + rest, confidence=confidence)
    expected = stats.binomtest(k, k + rest).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 15), st.integers(0, 15))
def test_mcnemars_p_is_twice_the_smaller_tail_of_fair_coins(fell, rose) -> None:
    n, few = fell + rose, min(fell, rose)
    tail = sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    assert exact_paired_test(fell, rose) == pytest.approx(min(1.0, 2 * tail))


@pytest.mark.parametrize("counts", [(-1, 3), (3, -1)])
def test_counts_below_zero_are_refused(counts) -> None:
    with pytest.raises(ValueError, match="are not negative"):
        exact_paired_test(*counts)


@settings(max_examples=25)
@given(pairs)
def test_the_sign_flip_p_of_few_pairs_is_counted_out(measured) -> None:
    """The share of all sign patterns whose mean is as far from 0 as the one that was seen, on either side."""
    before, after = zip(*measured, strict=True)
    difference = [b - a for a, b in measured]
    flipped = [sum(sign * d for sign, d in zip(signs, difference, strict=True))
               for signs in itertools.product((1, -1), repeat=len(difference))]  # fmt: skip
    seen = sum(difference)
    tails = (sum(each >= seen for each in flipped), sum(each <= seen for each in flipped))
    expected = min(1.0, 2 * min(tails) / len(flipped))
    assert paired_comparison(before, after, seed=0, resamples=300).p == pytest.approx(expected)


@settings(max_examples=25)
@given(pairs, st.integers(0, 99))
def test_turning_before_and_after_round_turns_the_sign_and_nothing_else(measured, seed) -> None:
    before, after = zip(*measured, strict=True)
    one, other = (paired_comparison(*each, seed=seed, resamples=200) for each in ((before, after), (after, before)))
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert other.p == pytest.approx(one.p) and other.p_t == pytest.approx(one.p_t, nan_ok=True)
    assert (one.mean_before, one.mean_after) == (other.mean_after, other.mean_before)


@settings(max_examples=25)
@given(pairs, st.integers(-9, 9), st.integers(0, 9))
def test_what_all_pairs_share_and_pairs_that_are_missing_change_nothing(measured, shift, missing) -> None:
    before, after = (list(each) for each in zip(*measured, strict=True))
    plain = paired_comparison(before, after, seed=1, resamples=200)
    moved = paired_comparison([b + shift for b in before], [a + shift for a in after], seed=1, resamples=200)
    assert (moved.difference, moved.low, moved.high, moved.p) == (plain.difference, plain.low, plain.high, plain.p)
    place = missing % (len(before) + 1)
    before.insert(place, math.nan), after.insert(place, 3.0)
    with_a_gap = paired_comparison(before, after, seed=1, resamples=200)
    assert (with_a_gap.missing, with_a_gap.n) == (1, plain.n)
    assert (with_a_gap.difference, with_a_gap.low, with_a_gap.p) == (plain.difference, plain.low, plain.p)


@settings(max_examples=25)
@given(pairs)
def test_the_paired_t_test_is_scipys_of_related_samples(measured) -> None:
    before, after = (np.array(each) for each in zip(*measured, strict=True))
    if np.ptp(after - before):
        expected = stats.ttest_rel(after, before).pvalue
        assert paired_comparison(before, after, seed=0, resamples=10).p_t == pytest.approx(expected)


def test_a_bootstrap_of_many_draws_is_near_the_normal_interval() -> None:
    """200 numbers: mean +- 1.96 s / sqrt(n), to within a tenth of its width; and so for 80 % of confidence."""
    values = [random.Random(7).gauss(0, 1) + i / 100 for i in range(200)]
    error = float(np.std(values)) / math.sqrt(len(values))
    for confidence in (0.95, 0.8):
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        found = mean_interval(values, seed=3, confidence=confidence)
        assert found.low == pytest.approx(found.mean - z * error, abs=0.1 * error)
        assert found.high == pytest.approx(found.mean + z * error, abs=0.1 * error)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """300 samples of 40 from a normal distribution: 95 % of intervals hold its mean, give or take 4 %."""
    draw = np.random.default_rng(11)
    covered = 0
    for seed in range(300):
        found = mean_interval(draw.normal(2.0, 1.0, 40), seed=seed, resamples=400)
        covered += found.low <= 2.0 <= found.high
    assert 0.91 <= covered / 300 <= 0.98


def test_a_bootstrap_in_slices_has_all_its_draws(monkeypatch) -> None:
    """2,000,000 numbers at a time: a sample of 900,000 is drawn two rows at a time, and five rows are wanted."""
    shapes = []

    class Draws:
        def integers(self, low, high, size):
            shapes.append(size)
            return np.zeros(size, dtype=np.int8)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Draws())
    found = mean_interval(np.ones(900_000, dtype=np.float32), seed=0, resamples=5)
    assert [rows for rows, _ in shapes] == [2, 2, 1] and (found.low, found.high) == (1.0, 1.0)
