"""What an evaluation says where scores are missing: pairs alike, counts beside every figure, and what is withheld."""

from __future__ import annotations

import math

import pytest

from repo_exp.evaluation.examples import worked_example
from repo_exp.evaluation.report import report_html
from repo_exp.types import RewardBreakdown, Score, Trajectory
from tests.evaluation.usual import choose_examples, summarise

DEAD = "endpoint down"


def worth(model: float, judge: float | str | None) -> RewardBreakdown:
    """R_model with a judge's points; a text is why the judge failed, None that no question applied."""
    if isinstance(judge, float):
        return RewardBreakdown({"model": Score(model), "judge": Score(judge)}, judge, model + abs(model) * judge / 100)
    score = Score.none(judge) if judge else Score.none("no question applies", applies=False)
    return RewardBreakdown({"model": Score(model), "judge": score}, 0.0, model, 0.0, ("judge",))


def variant(make, worths):
    return [(Trajectory.single(make.prompt(i), f"response {i}", tokens=5), each) for i, each in enumerate(worths)]


def test_a_judge_that_died_between_two_variants_gives_no_difference_and_no_p(make):
    """The policies are the same; the judge takes 40 points off whoever it reads. Unjudged ones would win by 0.4."""
    before = variant(make, [worth(1.0, -40.0)] * 24)
    after = variant(make, [worth(1.0, -40.0)] * 7 + [worth(1.0, DEAD)] * 17)
    results = summarise({"base": before, "sft": before, "repo": after}, resamples=200)
    total = results["comparisons"][0]["total"]
    assert (total["withheld"], total["unscored"], total["n"], total["missing"]) == (True, 17, 7, 17)
    assert total["difference"] is total["p"] is total["low"] is total["p_t"] is total["mean_after"] is None
    assert results["comparisons"][0]["differences"] == []
    assert results["comparisons"][0]["sources"]["judge"]["withheld"]
    assert not results["comparisons"][0]["sources"]["model"]["withheld"]
    assert results["variants"]["repo"]["total"]["mean"] is None and results["variants"]["repo"]["unscored"] == 17
    assert results["variants"]["sft"]["total"]["mean"] == pytest.approx(0.6)
    conclusion = results["verdict"]
    assert conclusion["status"] == "withheld"
    assert "in 17 of 24 prompts" in conclusion["text"] and "judge: 17 endpoint down" in conclusion["text"]
    assert "p =" not in conclusion["text"] and "p <" not in conclusion["text"]


def test_pairs_count_only_where_both_lack_nothing_or_the_same(make):
    # prompts 0 to 8 judged on both sides: +0.1 each; 9 judged on one side only, which would be +0.9
    before = variant(make, [worth(1.0, -10.0)] * 9 + [worth(1.0, -90.0)] + [worth(1.0, DEAD)])
    after = variant(make, [worth(1.0, 0.0)] * 9 + [worth(1.0, DEAD)] + [worth(1.1, DEAD)])
    results = summarise({"sft": before, "repo": after}, resamples=200)
    total = results["comparisons"][0]["total"]
    assert (total["n"], total["missing"], total["unscored"], total["withheld"]) == (10, 1, 2, False)
    assert total["difference"] == pytest.approx(0.1)  # the last pair lacks the same on both sides: 1.1 - 1.0
    assert total["mean_before"] == pytest.approx((9 * 0.9 + 1.0) / 10)
    assert "Scores are missing in 2 of 11 prompts (judge: 3 endpoint down)" in (results["verdict"]["text"])
    # a variant's own mean has no response of which a score failed
    assert results["variants"]["sft"]["total"]["mean"] == pytest.approx((9 * 0.9 + 0.1) / 10)


def test_what_a_source_has_nothing_to_say_of_is_no_failure(make):
    half = [worth(1.0, None)] * 6 + [worth(1.0, 20.0)] * 6
    better = [worth(1.5, None)] * 6 + [worth(1.5, 20.0)] * 6
    results = summarise({"sft": variant(make, half), "repo": variant(make, better)}, resamples=200)
    total = results["comparisons"][0]["total"]
    assert (total["n"], total["unscored"], total["withheld"], results["unscored"]) == (12, 0, False, {})
    assert results["verdict"]["status"] == "better"


def test_a_source_that_was_silent_all_along_is_said_first(make):
    silent = variant(make, [worth(1.0, DEAD)] * 10)
    results = summarise({"sft": silent, "repo": silent}, resamples=100)
    conclusion = results["verdict"]
    assert conclusion["status"] == "withheld"
    assert conclusion["text"].startswith("No response has a score from the judge (20 endpoint down)")


def test_several_answers_to_a_prompt_are_averaged_over_those_that_lack_the_same(make):
    before = variant(make, [worth(1.0, 0.0)] * 5) + variant(make, [worth(9.0, DEAD)] + [worth(1.0, 0.0)] * 4)
    after = variant(make, [worth(2.0, 0.0)] * 5) + variant(make, [worth(2.0, 0.0)] * 5)
    total = summarise({"sft": before, "repo": after}, resamples=100)["comparisons"][0]["total"]
    assert (total["n"], total["unscored"], total["difference"]) == (5, 1, 1.0)


def test_examples_are_not_chosen_by_a_difference_of_two_measures(make):
    before = variant(make, [worth(1.0, -90.0)] * 12)
    after = variant(make, [worth(1.0, DEAD)] + [worth(1.0, -90.0 + i) for i in range(1, 12)])
    chosen = choose_examples({"sft": before, "repo": after})
    assert chosen[0]["prompt"] == make.prompt(11).id  # the biggest gain: not place 0, which would be +0.9
    assert all(each["difference"] is not None for each in chosen)
    after = variant(make, [worth(1.0, DEAD)] * 9 + [worth(1.0, 0.0)] * 3)
    assert choose_examples({"sft": before, "repo": after}) == []
    assert worked_example({"sft": before, "repo": after})["total"] == 1.0
    assert worked_example({"sft": before, "repo": after})["missing_sources"] == []


def test_the_report_says_withheld_and_how_many_are_unscored(make):
    before = variant(make, [worth(1.0, -40.0)] * 24)
    after = variant(make, [worth(1.0, -40.0)] * 7 + [worth(1.0, DEAD)] * 17)
    variants = {"sft": before, "repo": after}
    page = report_html(
        {"results": summarise(variants, resamples=100), "examples": choose_examples(variants, max_unscored=1)}
    )
    assert "withheld" in page and "17 prompts unscored" in page and "17 unscored" in page
    assert "17 endpoint down" in page
    assert "p = 0.0" not in page and "p &lt; 0.001" not in page
    alike = summarise({"sft": before, "repo": before}, resamples=100)
    assert "withheld (" not in report_html({"results": alike})


def test_a_total_that_is_not_there_for_structural_reasons_withholds_nothing(make):
    none = RewardBreakdown({"model": Score.none("no reference", applies=False)}, 0.0, math.nan, 0.0, ("model",))
    found = [none] * 6 + [worth(1.0, 0.0)] * 6
    total = summarise({"sft": variant(make, found), "repo": variant(make, found)}, resamples=100)["comparisons"][0][
        "total"
    ]
    assert (total["n"], total["missing"], total["unscored"], total["withheld"]) == (6, 6, 0, False)
