"""Confidence intervals and paired tests, as pure functions of numbers and a seed.

NaN means "no score". A missing value is left out and counted, never read as zero. Where there are too few values for a
statistic (none, or one), it is NaN.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Values = Sequence[float]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of ``n`` values, its bootstrap interval, and how many values were missing."""

    n: int
    missing: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share of successes with its Wilson interval."""

    successes: float
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two measurements of the same things, before and after.

    Attributes:
        n: complete pairs.
        missing: pairs left out because one of the two was NaN.
        mean_before, mean_after: over the complete pairs.
        difference: mean of after - before.
        low, high: bootstrap percentile interval of the difference; NaN for fewer than two pairs.
        p: two-sided sign-flip permutation test; NaN without pairs.
        p_t: two-sided paired t-test; NaN for fewer than two pairs.
    """

    n: int
    missing: int
    mean_before: float
    mean_after: float
    difference: float
    low: float
    high: float
    p: float
    p_t: float


def paired_comparison(
    before: Values, after: Values, *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> Comparison:
    """Compare two measurements of the same things, pair by pair.

    Args:
        before, after: the same length; NaN where there is no score.
        seed: two calls with one seed give the same bits.
        resamples: of the bootstrap and of the permutation test (which is exact where 2**n is not more).
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: the two have different lengths, or the confidence is no share.
    """
    first, second = _array(before), _array(after)
    if first.shape != second.shape:
        raise ValueError(f"pairs need two sequences of one length, got {first.size} and {second.size}")
    complete = ~(np.isnan(first) | np.isnan(second))
    missing = int(first.size - complete.sum())
    first, second = first[complete], second[complete]
    if not first.size:
        return Comparison(0, missing, *[math.nan] * 7)
    difference = second - first
    low, high = _bootstrap(difference, seed=seed, resamples=resamples, confidence=confidence)
    return Comparison(
        n=int(first.size),
        missing=missing,
        mean_before=float(first.mean()),
        mean_after=float(second.mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        p=_sign_flip_p(difference, seed=seed, resamples=resamples),
        p_t=_t_test_p(difference),
    )


def mean_interval(values: Values, *, seed: int, resamples: int = 10_000, confidence: float = 0.95) -> Mean:
    """Return the mean with its bootstrap percentile interval; NaN values are left out and counted."""
    everything = _array(values)
    present = everything[~np.isnan(everything)]
    missing = int(everything.size - present.size)
    if not present.size:
        return Mean(0, missing, math.nan, math.nan, math.nan)
    low, high = _bootstrap(present, seed=seed, resamples=resamples, confidence=confidence)
    return Mean(int(present.size), missing, float(present.mean()), low, high)


def wilson_interval(successes: float, n: int, *, confidence: float = 0.95) -> Proportion:
    """Return a share with its Wilson score interval, which is sound near 0 and 1 and for few trials.

    Raises:
        ValueError: the successes are not between 0 and n.
    """
    _check_counts(successes, n)
    _check_confidence(confidence)
    if n == 0:
        return Proportion(successes, 0, math.nan, math.nan, math.nan)
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 of n and n of n the bound is 0 and 1 exactly; rounding would leave 1e-17 there.
    low = 0.0 if successes == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + half) / scale)
    return Proportion(successes, n, share, low, high)


def exact_paired_test(fell: int, rose: int) -> float:
    """Return the two-sided p of McNemar's exact test: among things that changed, is either way likelier?

    Args:
        fell: pairs in which it happened before and not after.
        rose: pairs in which it happened after and not before.

    Raises:
        ValueError: a count is negative.
    """
    if fell < 0 or rose < 0:
        raise ValueError(f"counts of pairs are not negative, got {fell} and {rose}")
    if fell + rose == 0:
        return 1.0
    return float(stats.binomtest(fell, fell + rose, 0.5).pvalue)


def _array(values: Values) -> np.ndarray:
    return np.asarray(list(values), dtype=np.float64)


def _bootstrap(values: np.ndarray, *, seed: int, resamples: int, confidence: float) -> tuple[float, float]:
    """Percentile interval of the mean. In slices, so that memory does not grow with the sample."""
    _check_confidence(confidence)
    if values.size < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    rows = max(1, 2_000_000 // values.size)
    means = [
        values[rng.integers(0, values.size, size=(min(rows, resamples - start), values.size))].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _sign_flip_p(difference: np.ndarray, *, seed: int, resamples: int) -> float:
    """If before and after were exchangeable, each difference could as well have had the other sign."""
    if difference.size == 1:  # scipy wants two; of one pair's two sign patterns, both are as far from 0
        return 1.0
    test = stats.permutation_test(
        (difference,),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // difference.size),
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _t_test_p(difference: np.ndarray) -> float:
    if difference.size < 2:
        return math.nan
    if not difference.any():
        return 1.0
    with warnings.catch_warnings():  # equal differences have no spread: p is 0, and scipy warns of precision
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_1samp(difference, 0.0).pvalue)


def _check_counts(successes: float, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"successes lie between 0 and n, got {successes} of {n}")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a share between 0 and 1, got {confidence}")
