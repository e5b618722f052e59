"""Combiners that need the whole batch: an order of importance, and sources normalised apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rewards.combining import combine

NAN = math.nan
ORDER = ["rules", "model", "judge"]
LEXICOGRAPHIC = combine("lexicographic", order=ORDER, tolerance={"model": 0.25})
DECOUPLED = combine("decoupled")


def totals(combined) -> list[float]:
    return [each.total for each in combined]


def test_the_first_source_that_tells_two_responses_apart_decides(worth):
    """Rules put the last one below all; of the first three the model likes the first; 1.0 and 1.2 are alike to it, so
    the judge decides. Of 3 others, first: 3 beaten; second: 1 (the last), 2 lost; third: 2 and 1; last: 3 lost."""
    batch = [worth(2.0, 0, 0), worth(1.2, 10, 0), worth(1.0, 20, 0), worth(9.0, 99, -10)]
    combined = LEXICOGRAPHIC(batch, "aaaa")
    assert totals(combined) == pytest.approx([1, -1 / 3, 1 / 3, -1])
    assert [each.enhancement for each in combined] == [0, 10, 20, 89]
    assert not any(each.missing_sources for each in combined)


def test_groups_are_compared_by_themselves_and_single_responses_with_the_batch(worth):
    batch = [worth(m, None, 0) for m in (1, 2, 3, 4)]
    assert totals(LEXICOGRAPHIC(batch, "abab")) == [-1, -1, 1, 1]
    assert totals(LEXICOGRAPHIC(batch, "abcd")) == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert totals(LEXICOGRAPHIC(batch, "abca")) == totals(LEXICOGRAPHIC(batch, "abcd"))  # b and c are alone
    assert totals(LEXICOGRAPHIC(batch[:1], "a")) == [0]


def test_a_comparison_without_a_score_decides_nothing(worth):
    """Rules are alike. The third has no model score, so the judge tells it from the others: over 10, under 20."""
    combined = LEXICOGRAPHIC([worth(1.0, 10, 0), worth(2.0, 20, 0), worth(NAN, 15, 0)], "aaa")
    assert totals(combined) == [-1, 1, 0]
    assert [each.missing_sources for each in combined] == [(), (), ("model",)]
    assert math.isnan(LEXICOGRAPHIC([worth(NAN, NAN, NAN)] * 2, "aa")[0].total)


def test_golden_decoupled(worth):
    """GDPO's sums of z: two prompts with four responses each, two binary rewards; weights 1 1, then 1 0.5."""
    first, second = (0, 1, 1, 0, 1, 1, 1, 0), (0, 1, 0, 1, 0, 0, 1, 0)
    batch = [worth(a, b) for a, b in zip(first, second, strict=True)]
    found = totals(DECOUPLED(batch, "aaaabbbb"))
    assert found == pytest.approx([-1.731751, 1.731751, 0, 0, 0, 0, 1.9996, -1.9996], abs=1e-6)
    halved = totals(combine("decoupled", weights={"judge": 0.5})(batch, "aaaabbbb"))
    expected = [-1.298813, 1.298813, 0.432938, -0.432938, 0.24995, 0.24995, 1.24975, -1.74965]
    assert halved == pytest.approx(expected, abs=1e-6)


def test_one_response_a_prompt_is_normalised_over_the_batch(worth):
    """1 2 3 6: mean 3, unbiased deviation 2.160247."""
    found = totals(DECOUPLED([worth(m) for m in (1, 2, 3, 6)], "abcd"))
    assert found == pytest.approx([-0.925777, -0.462889, 0, 1.388666], abs=1e-6)


def test_a_score_that_is_not_there_is_neither_good_nor_bad(worth):
    """Judge 1, 3 and none: mean 2, deviation 1.414214; the third keeps what its rules say: -10 against 0 and 0."""
    combined = DECOUPLED([worth(None, 1, 0), worth(None, 3, 0), worth(None, NAN, -10)], "aaa")
    z = 1 / (math.sqrt(2) + 1e-4)
    low = 1 / math.sqrt(3)  # rules 0 0 -10: mean -10/3, deviation 5.7735; (10/3) / 5.7735
    assert totals(combined) == pytest.approx([low - z, low + z, -2 * low], abs=1e-4)
    assert [each.missing_sources for each in combined] == [(), (), ("judge",)]
    assert totals(DECOUPLED([worth(None, 0.1)] * 3, "aaa")) == [0, 0, 0]  # whatever rounding makes of their mean
    assert math.isnan(totals(DECOUPLED([worth(None, NAN, NAN)] * 2, "aa"))[0])


def test_a_source_of_weight_zero_is_not_asked(worth):
    rule = combine("decoupled", weights={"judge": 0.0})
    combined = rule([worth(1, NAN), worth(2, 5)], "aa")
    assert [each.missing_sources for each in combined] == [(), ()]
    assert totals(combined) == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)], abs=1e-4)


rows = st.lists(st.tuples(*[st.sampled_from([-2.0, -1.0, 0.0, 1.0, NAN])] * 3), min_size=2, max_size=8)


@given(rows, st.sampled_from([LEXICOGRAPHIC, DECOUPLED]), st.randoms(use_true_random=False))
def test_a_combiner_of_batches_knows_no_order_of_responses_and_sums_to_zero_in_a_group(worth, responses, rule, random):
    """What one response gains the others lose; only responses without any score are outside of it."""
    batch = [worth(*each) for each in responses]
    found = totals(rule(batch, [0] * len(batch)))
    assert sum(total for total in found if not math.isnan(total)) == pytest.approx(0, abs=1e-9)
    order = list(range(len(batch)))
    random.shuffle(order)
    mixed = totals(rule([batch[i] for i in order], [0] * len(batch)))
    assert mixed == pytest.approx([found[i] for i in order], nan_ok=True)


@given(rows)
def test_more_of_a_source_never_lowers_a_place(worth, responses):
    """A judge that is kinder to the first response leaves its place or lifts it."""
    batch = [worth(*each) for each in responses]
    (model, judge, rules), *others = responses
    kinder = [worth(model, judge + 1, rules), *(worth(*each) for each in others)]
    before, after = (totals(LEXICOGRAPHIC(each, [0] * len(batch)))[0] for each in (batch, kinder))
    assert math.isnan(before) == math.isnan(after) and not after < before
