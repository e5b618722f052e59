"""The table of variants against figures worked out by hand; the verdict says what they say and no more."""

from __future__ import annotations

import json
import math

import pytest

from repo_exp.evaluation.verdict import verdict
from repo_exp.types import RewardBreakdown, Score, Trajectory
from tests.evaluation.usual import summarise


def answers(make, totals, *, rules=(), tokens=10):
    """One response per total, with the broken rules of each."""
    rules = list(rules) + [{}] * (len(totals) - len(rules))
    return [
        (
            Trajectory.single(make.prompt(i), f"Response  number {i}", tokens=tokens),
            RewardBreakdown({"rules": Score(sum(broken.values()), broken)}, 0.0, total),
        )
        for i, (total, broken) in enumerate(zip(totals, rules, strict=True))
    ]


def test_an_variant_by_hand(make):
    judged = {"soothes": 20.0, "reason": 20.0}
    variant = [
        (Trajectory.single(make.prompt(0), "Yes  please", tokens=4), make.breakdown(1.0, judged, {"a": -60.0})),
        (
            Trajectory.single(make.prompt(1), "yes please", tokens=4),
            make.breakdown(2.0, {"soothes": 20.0}, {"a": -60, "b": -10}),
        ),
        (Trajectory.single(make.prompt(2), "No", tokens=1), make.breakdown(3.0, {}, {}, judged=False)),
        (
            Trajectory.single(make.prompt(3), "A much longer response", finished=False, tokens=31),
            make.breakdown(-2.0, {}, {}),
        ),
    ]
    found = summarise({"sft": variant}, resamples=100, max_unscored=0.25)["variants"]["sft"]
    # E: 40 - 60 = -20, 20 - 70 = -50, 0, 0, so R: 0.8, 1.0, (3.0 without the judge: left out), -2.0
    assert found["total"]["mean"] == pytest.approx((0.8 + 1.0 - 2.0) / 3)
    assert (found["total"]["n"], found["total"]["missing"], found["unscored"]) == (3, 1, 1)
    assert found["sources"]["model"]["mean"] == 1.0
    assert (found["sources"]["judge"]["n"], found["sources"]["judge"]["missing"]) == (3, 1)
    assert found["sources"]["judge"]["mean"] == pytest.approx(60 / 3)
    assert (found["violations"]["successes"], found["violations"]["n"], found["violations"]["share"]) == (2, 4, 0.5)
    assert {rule: cell["share"] for rule, cell in found["rules"].items()} == {"a": 0.5, "b": 0.25}
    # over the three responses that were judged; an item that did not apply gave 0 points
    assert found["items"] == pytest.approx({"soothes": 40 / 3, "reason": 20 / 3})
    assert found["tokens"] == {"mean": 10.0, "p95": 31.0}
    assert found["words"] == {"mean": (2 + 2 + 1 + 4) / 4, "p95": 4.0}
    assert found["unfinished"] == 0.25
    assert found["distinct"] == 0.75  # the first two differ in a capital and a space only


def test_the_last_variant_is_compared_with_sft_and_sft_with_base(make):
    variants = {"base": answers(make, [0, 0, 0]), "sft": answers(make, [1, 2, 3]), "repo": answers(make, [2, 4, 6])}
    results = summarise(variants, resamples=100)
    first, second = results["comparisons"]
    assert (first["before"], first["after"], first["total"]["difference"]) == ("sft", "repo", 2.0)
    assert (second["before"], second["after"], second["total"]["difference"]) == ("base", "sft", 2.0)
    assert first["differences"] == [1, 2, 3]
    assert (results["order"], results["n"], results["sources"]) == (["base", "sft", "repo"], 3, ["rules"])


def test_without_an_sft_variant_the_one_before_the_last_is_the_baseline(make):
    results = summarise({"base": answers(make, [0, 0]), "ppo": answers(make, [1, 2])}, resamples=100)
    assert [(c["before"], c["after"]) for c in results["comparisons"]] == [("base", "ppo")]


def test_broken_rules_are_compared_prompt_by_prompt(make):
    broken = {"a": -60.0}
    before = answers(make, [0] * 8, rules=[broken] * 7 + [{}])
    after = answers(make, [0] * 8, rules=[broken] + [{}] * 6 + [broken])
    test = summarise({"sft": before, "repo": after}, resamples=100)["comparisons"][0]["violations"]
    # 6 mended, 1 new: p = 2 * (1 + 7) / 2**7
    assert (test["n"], test["fell"], test["rose"], test["p"]) == (8, 6, 1, pytest.approx(16 / 128))


def test_several_responses_to_a_prompt_count_as_one_observation(make):
    before, after = answers(make, [0.0] * 6), answers(make, [1.0, 2.0, 3.0, 0.5, 1.5, 2.5])
    once = summarise({"sft": before, "repo": after}, resamples=100)["comparisons"][0]["total"]
    twice = summarise({"sft": before * 2, "repo": after * 2}, resamples=100)["comparisons"][0]["total"]
    assert once == twice
    assert once["n"] == 6


def test_a_source_that_was_never_asked_leaves_no_trace(make):
    variant = make.variant(0.5, n=5, sources="model")
    results = summarise({"sft": variant, "ppo": variant}, resamples=100)
    assert results["sources"] == ["model"]
    assert results["variants"]["sft"]["violations"] is None
    assert (results["variants"]["sft"]["rules"], results["variants"]["sft"]["items"]) == ({}, {})
    assert results["comparisons"][0]["violations"] is None


def test_variants_of_different_prompts_are_refused(make):
    one = answers(make, [0, 0, 0])
    with pytest.raises(ValueError, match="'sft' has 3, 'repo' has 2"):
        summarise({"sft": one, "repo": one[:2]})
    with pytest.raises(ValueError, match="place 1 is 'hotel-001' in 'sft' and 'hotel-002' in 'repo'"):
        summarise({"sft": one, "repo": [one[0], one[2], one[1]]})
    with pytest.raises(ValueError, match="no variant"):
        summarise({})


def test_nothing_scored_is_none_and_never_zero(make):
    variant = [
        (
            Trajectory.single(make.prompt(0), ""),
            RewardBreakdown({"model": Score.none("no")}, 0.0, math.nan, 0.0, ("model",)),
        )
    ]
    results = summarise({"sft": variant, "repo": variant}, resamples=100)
    assert results["variants"]["sft"]["total"] == {
        "n": 0, "missing": 1, "mean": None, "low": None, "high": None, "withheld": True
    }  # fmt: skip
    assert results["verdict"]["status"] == "withheld"
    assert results["verdict"]["text"].startswith("No response has a score from the reward model")


def test_no_prompts_are_no_crash():
    results = summarise({"sft": [], "repo": []}, resamples=100)
    assert results["n"] == 0
    json.dumps(results, allow_nan=False)


def test_the_table_is_strict_json_and_the_same_for_the_same_seed(make):
    variants = {"sft": make.variant(0.2, n=20), "repo": make.variant(0.9, n=20)}
    results = summarise(variants, resamples=200)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert summarise(variants, resamples=200) == results


def test_the_verdict_names_a_gain_with_its_figures(make):
    before = answers(make, [0.0] * 20, rules=[{"a": -60.0}] * 10)
    after = answers(make, [0.5 + 0.01 * i for i in range(20)])
    found = summarise({"sft": before, "repo": after}, resamples=2000)["verdict"]
    assert found["status"] == "better"
    # the mean of 0.50 ... 0.69 is 0.595; 10 of 10 changes fell: p = 2 / 1024
    assert "REPO's mean total reward is +0.59 [" in found["text"] or "+0.60 [" in found["text"]
    assert "above SFT's" in found["text"]
    assert "n = 20" in found["text"]
    assert "Fewer responses break a rule: 0 % instead of 50 % (p = 0.002)" in found["text"]


def test_the_verdict_says_plainly_that_there_is_no_improvement(make):
    same = answers(make, [0.1, 0.7, 0.3])
    found = summarise({"sft": same, "repo": same}, resamples=100)["verdict"]
    assert found["status"] == "unclear"
    assert found["text"].startswith("No significant difference")


def test_the_verdict_says_that_it_became_worse(make):
    before, after = answers(make, [1.0] * 12), answers(make, [0.0] * 12, rules=[{"a": -60.0}] * 3, tokens=20)
    found = summarise({"base": before, "sft": before, "repo": after}, resamples=500)["verdict"]
    assert found["status"] == "worse"
    assert "REPO is worse" in found["text"]
    assert "More responses break a rule: 25 % instead of 0 % (p = 0.25, not significant)" in found["text"]
    assert "longer: 20 tokens on average instead of 10" in found["text"]


def test_the_verdict_says_that_responses_repeat_themselves(make):
    """A policy that found one sentence that pays: three responses of ten differ, where ten did."""
    before = answers(make, [0.0] * 10)
    after = [
        (Trajectory.single(response.prompt, f"Thanks {max(i - 7, 0)}", tokens=10), worth)
        for i, (response, worth) in enumerate(answers(make, [1.0] * 10))
    ]
    sentence = summarise({"sft": before, "repo": after}, resamples=100)["verdict"]["text"]
    assert "Its responses repeat themselves: 30 % are distinct, instead of 100 %." in sentence
    assert "repeat themselves" not in summarise({"sft": after, "repo": before}, resamples=100)["verdict"]["text"]


def test_one_variant_alone_is_described_and_not_compared(make):
    found = summarise({"base": answers(make, [1.0, 2.0])}, resamples=100)["verdict"]
    assert found["status"] == "alone"
    assert "Mean total reward: 1.50" in found["text"]


def test_the_verdict_survives_the_store(make):
    results = summarise({"sft": make.variant(0.2, n=9), "repo": make.variant(0.9, n=9)}, resamples=100)
    assert verdict(json.loads(json.dumps(results))) == results["verdict"]
