"""The enhancement: golden values of the four cases, then the promises of the docstring, one by one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.enhancement import enhance, enhance_one, enhancement_one

score, points = st.floats(-5, 5), st.floats(-300, 300)
bound = st.floats(1, 200)

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


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("model", "judge", "rules", "e", "total"), BY_HAND)
def test_values_by_hand(model, judge, rules, e, total) -> None:
    assert enhance_one(model, judge, rules, n=100) == pytest.approx((total, e))
    torch.testing.assert_close(enhance(t(model), t(judge), t(rules), n=100), t(total))


def test_a_batch_tells_the_published_form_from_its_neighbours() -> None:
    """Sign-blind R (1 + E/n) would give [3, .5, -1.5, -1], additive R + E/n [2.5, .5, -.5, -2.5]."""
    total_B = enhance(t(2, 1, -1, -2), t(50, -50, 50, -50), t(0, 0, 0, 0), n=100)
    torch.testing.assert_close(total_B, t(3.0, 0.5, -0.5, -3.0))


@given(score, points, points, bound)
def test_never_turns_the_sign_and_at_most_doubles(model, judge, rules, n) -> None:
    total, _ = enhance_one(model, judge, rules, n=n)
    assert total * model >= 0
    assert abs(total) <= 2 * abs(model) * (1 + 1e-12)


@given(score, points, st.floats(0, 100), points, bound)
def test_a_better_judgement_never_lowers_the_reward(model, judge, gain, rules, n) -> None:
    before, _ = enhance_one(model, judge, rules, n=n)
    after, _ = enhance_one(model, judge + gain, rules, n=n)
    assert after >= before - 1e-9


@given(score, points, points, bound, st.floats(0.1, 10))
def test_scales_with_the_reward_model_and_mirrors_with_the_signs(model, judge, rules, n, c) -> None:
    total, _ = enhance_one(model, judge, rules, n=n)
    assert enhance_one(c * model, judge, rules, n=n)[0] == pytest.approx(c * total, abs=1e-9)
    assert enhance_one(-model, -judge, -rules, n=n)[0] == pytest.approx(-total, abs=1e-9)


@given(score, bound)
def test_silent_judge_and_rules_leave_the_score_alone_bit_for_bit(model, n) -> None:
    assert enhance_one(model, 0.0, 0.0, n=n)[0] == model
    assert enhance(t(model), t(0), t(0), n=n).item() == model


@given(score, points, points, bound)
def test_the_batched_and_the_single_form_agree(model, judge, rules, n) -> None:
    assert enhance(t(model), t(judge), t(rules), n=n).item() == pytest.approx(enhance_one(model, judge, rules, n=n)[0])


def test_a_missing_judge_or_rule_score_counts_as_nothing_and_a_missing_model_score_stays_missing() -> None:
    assert enhance_one(2.0, math.nan, -50, n=100) == (1.0, -50)
    assert enhance_one(2.0, -50, math.nan, n=100) == (1.0, -50)
    assert enhancement_one(math.nan, math.nan, n=100) == 0
    assert math.isnan(enhance_one(math.nan, 50, 0, n=100)[0])
    torch.testing.assert_close(enhance(t(2.0), t(math.nan), t(-50), n=100), t(1.0))


def test_shapes_and_bound_are_checked() -> None:
    with pytest.raises(ValueError, match=r"model \(2,\), judge \(1,\)"):
        enhance(t(1, 2), t(1), t(0, 0), n=1)
    for n in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be > 0"):
            enhance_one(1, 0, 0, n=n)
