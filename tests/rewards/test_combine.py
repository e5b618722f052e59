"""The scores of one response combined: golden values of the paper's formula, gates, several models, missing scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from repo_exp.errors import RewardError
from repo_exp.rewards.combine import build, find, names
from repo_exp.types import Score
from tests.rewards.combining import combine, units

NAN = math.nan


def one(name: str, **options):
    """Return a combiner for a single response: sources -> what it makes of them."""
    rule = combine(name, **options)
    return lambda sources: rule([sources], ["c"])[0]


ENHANCEMENT = one("enhancement")


@pytest.mark.parametrize(
    ("model", "judge", "rules", "e", "total"),
    [
        (2.0, 30, -10, 20, 2.4),
        (2.0, -80, -60, -100, 0.0),
        (-1.5, 40, 0, 40, -0.9),
        (-1.5, -70, -50, -100, -3.0),
        (-1.5, 100, 30, 100, 0.0),
        (0.8, 90, 60, 100, 1.6),
        (0.0, 50, 20, 70, 0.0),
        (1.2, 0, 0, 0, 1.2),
        (2.0, 50, None, 50, 3.0),
        (1.0, None, -50, -50, 0.5),
        (-1.0, 50, None, 50, -0.5),
        (-2.0, None, -50, -50, -3.0),
        (1.0, 150, -60, 90, 1.9),  # the clip is on the sum: 150 - 60, and not 100 - 60
        (2.0, NAN, -10, -10, 1.8),  # a judge that failed counts as 0
        (2.0, NAN, NAN, 0, 2.0),
        (None, 30, -10, 20, 0.2),  # without a reward model E / n
        (None, NAN, -10, -10, -0.1),
        (2.0, None, None, 0, 2.0),
    ],
)
def test_the_enhancement_has_its_golden_values(worth, model, judge, rules, e, total):
    combined = ENHANCEMENT(worth(model, judge, rules))
    assert combined.enhancement == pytest.approx(e)
    assert combined.total == pytest.approx(total)


@pytest.mark.parametrize("sources", [(NAN, 30, -10), (NAN, None, None), (None, NAN, NAN), (None, NAN, None)])
def test_without_anything_to_go_by_there_is_no_total(worth, sources):
    assert math.isnan(ENHANCEMENT(worth(*sources)).total)


def test_the_clip_is_recorded(worth):
    assert ENHANCEMENT(worth(1.0, -80, -60)).clipped == 40.0
    assert ENHANCEMENT(worth(1.0, 30, -60)).clipped == 0.0


def test_model_only_keeps_the_enhancement_for_the_record(worth):
    combined = one("model_only")(worth(-1.5, 40, 10))
    assert (combined.total, combined.enhancement) == (-1.5, 50.0)


def test_a_weighted_sum_by_hand(worth):
    """R = 2 * 1.5 + (0.5 * 40 - 10) / 100; without weights 1.5 + 0.3. Rules alone: their points over n."""
    weigh = one("weighted_sum", weights={"model": 2.0, "judge": 0.5})
    assert weigh(worth(1.5, 40, -10)).total == pytest.approx(3.1)
    assert one("weighted_sum")(worth(1.5, 40, -10)).total == pytest.approx(1.8)
    assert weigh(worth(None, None, -10)).total == pytest.approx(-0.1)
    assert weigh(worth(1.5, 40, -10)).enhancement == 30


def test_a_sum_without_one_of_its_parts_is_no_total(worth):
    """Added up from what is there, a response would be worse for a judge that timed out."""
    assert math.isnan(one("weighted_sum")(worth(1.5, NAN, -10)).total)


def test_a_source_of_weight_zero_has_no_say_there_or_not(worth):
    weigh = one("weighted_sum", weights={"judge": 0.0})
    assert weigh(worth(1.5, 40, -10)).total == weigh(worth(1.5, NAN, -10)).total == pytest.approx(1.4)


RULES_HOLD = {"source": "rules", "threshold": 0.0, "otherwise": -3.0}


@pytest.mark.parametrize(
    ("model", "judge", "rules", "total"),
    [
        (1.5, 40, 0, 1.9),  # open: 1.5 + 40 / 100
        (1.5, 40, -1, -3.0),  # shut
        (1.5, NAN, -1, -3.0),  # shut: nobody asks the judge
        (NAN, 40, -1, -3.0),
        (1.5, NAN, 0, NAN),  # open, and one of the parts is not there
        (1.5, 40, NAN, NAN),  # open or shut? nobody knows
    ],
)
def test_a_gate_by_hand(worth, model, judge, rules, total):
    combined = one("gated", gate=RULES_HOLD)(worth(model, judge, rules))
    assert combined.total == pytest.approx(total, nan_ok=True)
    assert not combined.missing_sources or math.isnan(total)  # behind a closed gate nothing is missing


def test_golden_conditioning(worth):
    """t = 1, easy 1 1 0 1, hard 1 0 1 0 -> 1 0 0 0: the easy one counts where the hard one is reached."""
    gate = one("gated", gate={"source": "rules", "threshold": 1.0, "otherwise": 0.0}, weights={"rules": 0.0})
    assert [gate(worth(easy, None, hard)).total for easy, hard in ((1, 1), (1, 0), (0, 1), (1, 0))] == [1, 0, 0, 0]


def test_a_combiner_says_which_sources_its_total_does_without(worth):
    """A source without effect is not among them."""
    assert ENHANCEMENT(worth(2.0, NAN, -10)).missing_sources == ("judge",)
    assert ENHANCEMENT(worth(None, 30, NAN)).missing_sources == ("rules",)
    assert ENHANCEMENT(worth(2.0, 30, None)).missing_sources == ()
    assert one("model_only")(worth(2.0, NAN, NAN)).missing_sources == ()


def test_two_reward_models_and_three_sources_of_points(worth):
    """Base (2 + 1) / 2 = 1.5; E = 30 - 10 - 40 = -20; R = 1.5 - 1.5 * 0.2."""
    sources = worth(2.0, 30, -10) | {"rm2": Score(1.0), "length": Score(-40.0)}
    combined = ENHANCEMENT(sources)
    assert (combined.enhancement, combined.total) == (-20, pytest.approx(1.2))
    assert one("model_only")(sources).total == 1.5
    assert one("weighted_sum", weights={"rm2": 2.0, "length": 0.5})(sources).total == pytest.approx(
        2 + 2 + 0.3 - 0.1 - 0.2
    )
    missing = ENHANCEMENT(sources | {"rm2": Score.none("no reference")})
    assert math.isnan(missing.total) and missing.missing_sources == ("rm2",)


def test_an_option_that_is_needed_is_asked_for_and_another_ignored():
    with pytest.raises(ValidationError, match="gate"):
        build("gated", units(["rules"]), {"n": 100.0})
    with pytest.raises(ValidationError, match="order"):
        build("lexicographic", units(["rules"]), {"n": 100.0})
    build("enhancement", units(["rules"]), {"n": 100.0, "gate": None, "order": None, "tolerance": None})
    for n in (0.0, -1.0, NAN, math.inf):
        with pytest.raises(ValidationError, match="n"):
            build("enhancement", units(["rules"]), {"n": n})


def test_combiners_are_found_by_their_files_and_count_the_sources_that_have_an_effect():
    with pytest.raises(RewardError, match="did you mean 'enhancement'"):
        find("enhancment")
    assert names() == ["decoupled", "enhancement", "gated", "lexicographic", "model_only", "weighted_sum"]
    three, given = (
        units(["model", "judge", "rules"]),
        {"n": 1.0, "order": ["rules", "model"], "weights": {"judge": 0.0}},
    )
    given["gate"] = {"source": "rules", "threshold": 0.0, "otherwise": 0.0}
    assert {name: build(name, three, given).counted for name in names()} == {
        "enhancement": ("model", "judge", "rules"),
        "model_only": ("model",),
        "weighted_sum": ("model", "rules"),
        "decoupled": ("model", "rules"),
        "gated": ("model", "judge", "rules"),
        "lexicographic": ("rules", "model"),
    }


finite = st.floats(-1e3, 1e3)


@given(finite, finite, finite, st.floats(0, 500), st.floats(1, 500))
def test_a_better_judgement_never_lowers_the_reward_nor_changes_its_sign(worth, model, judge, rules, more, n):
    rule = one("enhancement", n=n)
    before, after = rule(worth(model, judge, rules)).total, rule(worth(model, judge + more, rules)).total
    assert after >= before - 1e-9 * abs(model)
    assert before * model >= -1e-9 * model**2
    assert abs(before) <= 2 * abs(model) * (1 + 1e-12)
