"""The composition of a batch, with numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.rewards.composition import compose
from repo_exp.rewards.joins import build_join
from repo_exp.types import RewardBreakdown, Score

N = 100.0
JOIN = build_join("enhancement", n=N)


def batch(*sources: dict[str, Score]) -> list[RewardBreakdown]:
    joined = JOIN(sources, range(len(sources)))
    return [
        RewardBreakdown(said, each.enhancement, each.total, each.clipped)
        for said, each in zip(sources, joined, strict=True)
    ]


def test_the_shares_say_where_judge_and_rules_have_no_voice(worth):
    metrics = compose(
        batch(
            worth(2.0, 30, -10),  # E 20, R 2.4: an ordinary one
            worth(1.0, -80, -60),  # E -100 of -140: saturated, and the signs differ: R 0
            worth(-1.0, 100, 0),  # E exactly 100: saturated, and the signs differ: R 0
            worth(0.05, math.nan, -20),  # E -20: dead zone, the signs differ, unjudged: R 0.04
            worth(math.nan, 10, 0),  # no total
        ),
        n=N,
    )
    assert metrics["composition/saturated"] == pytest.approx(2 / 5)
    assert metrics["composition/sign_conflict"] == pytest.approx(3 / 4)
    assert metrics["composition/dead_zone"] == pytest.approx(1 / 4)
    assert metrics["composition/unscored"] == pytest.approx(1 / 5)
    assert metrics["unscored/judge"] == pytest.approx(1 / 5)
    assert metrics["unscored/rules"] == 0.0
    # model: 2, 1, -1, 0.05 -> mean 2.05 / 4
    assert metrics["reward/model"] == pytest.approx(0.5125)
    # totals 2.4, 0, 0; not the 0.04 of the reply that was not judged, which is another measure
    assert metrics["reward/total"] == pytest.approx(0.8)
    assert metrics["composition/failed"] == pytest.approx(2 / 5)
    # judge: 30, -80, 100, 10 -> mean 15; squares (15^2 + 95^2 + 85^2 + 5^2) / 4 = 4125
    assert metrics["reward/judge"] == pytest.approx(15.0)
    assert metrics["reward_std/judge"] == pytest.approx(math.sqrt(4125))


def test_violations_are_shares_of_the_replies_that_the_rules_scored():
    def rules(score: Score) -> dict[str, Score]:
        return {"model": Score(1.0), "rules": score}

    metrics = compose(
        batch(
            rules(Score(-80.0, {"too_long": -20.0, "leak": -60.0})),
            rules(Score(-20.0, {"too_long": -20.0})),
            rules(Score(0.0)),
            rules(Score(0.0)),
            rules(Score.none("every rule abstained")),
        ),
        n=N,
        rules=["too_long", "leak", "empty"],
    )
    assert {name: metrics[f"violations/{name}"] for name in ("too_long", "leak", "empty")} == {
        "too_long": 0.5,
        "leak": 0.25,
        "empty": 0.0,
    }
    assert metrics["composition/violations"] == 0.5


def test_a_rule_of_no_points_still_counts_as_broken():
    (each,) = batch({"rules": Score(0.0, {"watched": 0.0})})
    assert compose([each], n=N)["composition/violations"] == 1.0


def test_items_are_averaged_where_they_were_answered():
    metrics = compose(
        batch({"judge": Score(20.0, {"polite": 20.0, "soothes": 10.0})}, {"judge": Score(0.0, {"polite": 0.0})}),
        n=N,
        items=["polite", "never_asked"],
    )
    assert metrics["items/polite"] == 10.0
    assert metrics["items/soothes"] == 10.0
    assert "items/never_asked" not in metrics


def test_sources_that_were_not_asked_have_no_metrics(worth):
    metrics = compose(batch(worth(1.0)), n=N)
    assert not any("judge" in name or "rules" in name or "enhancement" in name for name in metrics)
    assert "composition/saturated" not in metrics
    assert compose([], n=N) == {}
    assert "composition/dead_zone" not in compose(batch(worth(None, 10, 0)), n=N)


def test_a_source_that_never_answered_has_no_mean(worth):
    metrics = compose(batch(worth(1.0, math.nan, None)), n=N)
    assert metrics["unscored/judge"] == 1.0
    assert "reward/judge" not in metrics


value = st.one_of(st.none(), st.just(math.nan), st.floats(-300, 300))


@given(st.lists(st.tuples(value, value, value).filter(any), min_size=1, max_size=6))
def test_shares_are_shares_and_every_metric_is_a_number(worth, rows):
    metrics = compose(batch(*(worth(*row) for row in rows if any(v is not None for v in row))), n=N)
    assert all(math.isfinite(number) for number in metrics.values())
    assert all(
        0 <= v <= 1 for k, v in metrics.items() if k.startswith(("composition", "violations")) or "unscored" in k
    )
