"""The reward diagnostics of a round, with numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.rewards.diagnostics import diagnostics
from repo_exp.types import RewardBreakdown, Score
from tests.rewards.combining import USUAL, combine, infos

N = 100.0


def batch(*sources: dict[str, Score]) -> list[RewardBreakdown]:
    combined = [combine("enhancement")([each], ["c"])[0] for each in sources]  # tests give some responses fewer sources
    return [
        RewardBreakdown(scores, each.enhancement, each.total, each.clipped, each.missing_sources)
        for scores, each in zip(sources, combined, strict=True)
    ]


def compose(breakdowns, sources=USUAL):
    return diagnostics(breakdowns, sources, n=N)


def test_the_shares_say_where_points_have_no_effect(worth):
    metrics = compose(
        batch(
            worth(2.0, 30, -10),  # E 20, R 2.4: an ordinary one
            worth(1.0, -80, -60),  # E -100 of -140: saturated, and the signs differ: R 0
            worth(-1.0, 100, 0),  # E exactly 100: saturated, and the signs differ: R 0
            worth(0.05, math.nan, -20),  # E -20: dead zone, the signs differ, unjudged: R 0.04
            worth(math.nan, 10, 0),  # no total
        ),
    )
    assert metrics["composition/saturated"] == pytest.approx(2 / 5)
    assert metrics["composition/sign_conflict"] == pytest.approx(3 / 4)
    assert metrics["composition/dead_zone"] == pytest.approx(1 / 4)
    assert metrics["composition/unscored"] == pytest.approx(1 / 5)
    assert metrics["unscored/judge"] == pytest.approx(1 / 5)
    assert metrics["unscored/rules"] == 0.0
    # model: 2, 1, -1, 0.05 -> mean 2.05 / 4
    assert metrics["reward/model"] == pytest.approx(0.5125)
    # totals 2.4, 0, 0; not the 0.04 of the response that was not judged, which is another measure
    assert metrics["reward/total"] == pytest.approx(0.8)
    assert metrics["composition/failed"] == pytest.approx(2 / 5)
    # judge: 30, -80, 100, 10 -> mean 15; squares (15^2 + 95^2 + 85^2 + 5^2) / 4 = 4125
    assert metrics["reward/judge"] == pytest.approx(15.0)
    assert metrics["reward_std/judge"] == pytest.approx(math.sqrt(4125))


def test_violations_are_shares_of_the_responses_that_the_rules_scored():
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
        infos("model", "rules", rules=["too_long", "leak", "empty"]),
    )
    assert {name: metrics[f"violations/{name}"] for name in ("too_long", "leak", "empty")} == {
        "too_long": 0.5,
        "leak": 0.25,
        "empty": 0.0,
    }
    assert metrics["composition/violations"] == 0.5


def test_a_rule_of_no_points_still_counts_as_broken():
    (each,) = batch({"rules": Score(0.0, {"watched": 0.0})})
    assert compose([each])["composition/violations"] == 1.0


def test_items_are_averaged_where_they_were_answered():
    metrics = compose(
        batch({"judge": Score(20.0, {"polite": 20.0, "soothes": 10.0})}, {"judge": Score(0.0, {"polite": 0.0})}),
        infos("judge", judge=["polite", "never_asked"]),
    )
    assert metrics["items/polite"] == 10.0
    assert metrics["items/soothes"] == 10.0
    assert "items/never_asked" not in metrics


def test_sources_that_were_not_asked_have_no_metrics(worth):
    metrics = compose(batch(worth(1.0)))
    assert not any("judge" in name or "rules" in name or "enhancement" in name for name in metrics)
    assert "composition/saturated" not in metrics
    assert compose([]) == {}
    assert "composition/dead_zone" not in compose(batch(worth(None, 10, 0)))


def test_a_source_that_never_answered_has_no_mean(worth):
    metrics = compose(batch(worth(1.0, math.nan, None)))
    assert metrics["unscored/judge"] == 1.0
    assert "reward/judge" not in metrics


def test_any_number_of_sources_with_any_names():
    """Base: (1 + 3) / 2 and (1 - 1.4) / 2; E: -20 - 30 and 0."""
    named = infos("model", "rm2", "rules", "style", rules=["leak"], style=["dull", "vague"])
    first = {"model": 1.0, "rm2": 3.0, "rules": Score(-20.0, {"leak": -20.0}), "style": Score(-30.0, {"dull": -30.0})}
    second = {
        "model": 1.0,
        "rm2": -1.4,
        "rules": Score(0.0),
        "style": Score.none("every rule abstained", applies=False),
    }
    rows = [{name: value if isinstance(value, Score) else Score(value) for name, value in each.items()}
            for each in (first, second)]  # fmt: skip
    metrics = compose(batch(*rows), named)
    assert metrics["reward/rm2"] == pytest.approx(0.8) and metrics["unscored/style"] == 0.5
    assert metrics["composition/sign_conflict"] == 0.5  # the first: 2 and -50; the second: -0.2 and 0
    assert metrics["composition/dead_zone"] == 0.0
    assert metrics["violations/leak"] == 0.5 and metrics["violations/style/dull"] == 1.0
    assert metrics["violations/style/vague"] == 0.0 and metrics["composition/violations"] == 0.5


def test_a_failed_score_that_the_total_does_not_use_leaves_the_total_in_its_mean():
    rows = [RewardBreakdown({"model": Score(1.0), "judge": Score.none("timeout")}, 0.0, 1.0)]
    metrics = compose(rows)
    assert (metrics["reward/total"], metrics["composition/failed"]) == (1.0, 1.0)


value = st.one_of(st.none(), st.just(math.nan), st.floats(-300, 300))


@given(st.lists(st.tuples(value, value, value).filter(any), min_size=1, max_size=6))
def test_shares_are_shares_and_every_metric_is_a_number(worth, rows):
    metrics = compose(batch(*(worth(*row) for row in rows if any(v is not None for v in row))))
    assert all(math.isfinite(number) for number in metrics.values())
    assert all(
        0 <= v <= 1 for k, v in metrics.items() if k.startswith(("composition", "violations")) or "unscored" in k
    )
