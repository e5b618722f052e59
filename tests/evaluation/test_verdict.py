"""Each sentence of the verdict, from figures by hand: where it is said, what it says, and where it is not."""

from __future__ import annotations

import pytest

from repo_exp.evaluation.verdict import reasons, verdict

INFO = {"judge": {"label": "judge"}, "model": {"label": "reward model"}}


def results(*, variants=None, unscored=None, prompts=0, n=40, max_unscored=0.2, **total):
    """Return results of two variants that differ in what is given."""
    figure = {"n": n, "mean_before": 1.0, "mean_after": 1.5, "difference": 0.5, "low": 0.2, "high": 0.8, "p": 0.01}
    figure |= {"unscored": prompts, "withheld": False} | total
    variant = {"violations": None, "distinct": 1.0, "total": {"mean": 1.0, "low": 0.5, "high": 1.5, "withheld": False},
           "unscored": 0, "n": n}  # fmt: skip
    comparison = {"before": "sft", "after": "repo", "total": figure, "violations": None,
                  "tokens": {"mean_before": 20.0, "mean_after": 20.0}}  # fmt: skip
    return {
        "order": ["sft", "repo"],
        "n": n,
        "source_info": INFO,
        "variants": {name: variant | (variants or {}).get(name, {}) for name in ("sft", "repo")},
        "comparisons": [comparison],
        "unscored": unscored or {},
        "settings": {"confidence": 0.95, "max_unscored": max_unscored},
    }


@pytest.mark.parametrize(
    ("total", "status", "words"),
    [
        ({}, "better", "REPO's mean total reward is +0.50 [+0.20, +0.80] above SFT's (95 % interval, paired"),
        ({"p": 0.05}, "unclear", "No significant difference: REPO's mean total reward differs from SFT's by +0.50"),
        ({"p": 0.0499}, "better", "p = 0.050, n = 40 prompts"),
        ({"difference": -0.5, "low": -0.8, "high": -0.2}, "worse", "is -0.50 [-0.80, -0.20] below SFT's"),
        (
            {"p": None, "low": None, "high": None, "n": 1},
            "unclear",
            "by +0.50 (95 % interval, paired permutation test p not",
        ),
        ({"n": 0}, "unclear", "REPO and SFT cannot be compared: no prompt has a score for both."),
    ],
)
def test_the_first_sentence_follows_p_and_the_sign(total, status, words) -> None:
    found = verdict(results(**total))
    assert found["status"] == status and words in found["text"]


def test_a_withheld_comparison_says_how_many_failed_why_and_what_to_do() -> None:
    failed = {"judge": {"responses": 30, "of": 80, "reasons": {"timeout": 28, "http 500": 2}}}
    found = verdict(results(withheld=True, unscored=failed, prompts=25))
    assert found["status"] == "withheld" and "+0.50" not in found["text"]
    assert "scores failed in 25 of 40 prompts, more than evaluation.max_unscored = 20 % allows" in found["text"]
    assert "the same command again" in found["text"]
    assert "Failed scores: judge: 28 timeout, 2 http 500." in found["text"]


def test_a_few_missing_scores_are_counted_beside_a_difference() -> None:
    failed = {"judge": {"responses": 3, "of": 80, "reasons": {"timeout": 3}}}
    text = verdict(results(unscored=failed, prompts=3))["text"]
    assert "Scores are missing in 3 of 40 prompts (judge: 3 timeout); totals that miss" in text
    assert "Scores are missing in 3 of 40 prompts; totals" in verdict(results(prompts=3))["text"]


def violations(before: float, after: float, p: float):
    variants = {name: {"violations": {"share": share}} for name, share in (("sft", before), ("repo", after))}
    found = results(variants=variants)
    found["comparisons"][0]["violations"] = {"n": 40, "fell": 4, "rose": 1, "p": p}
    return verdict(found)["text"]


@pytest.mark.parametrize(
    ("before", "after", "p", "words"),
    [
        (0.5, 0.2, 0.01, "Fewer responses break a rule: 20 % instead of 50 % (p = 0.010)."),
        (0.2, 0.5, 0.2, "More responses break a rule: 50 % instead of 20 % (p = 0.20, not significant)."),
        (0.2, 0.5, 0.05, "(p = 0.050, not significant)"),
        (0.2, 0.2, 0.6, "The share of responses that break a rule is unchanged (20 %)."),
    ],
)
def test_broken_rules_are_said_with_their_own_test(before, after, p, words) -> None:
    assert words in violations(before, after, p)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (25.0, "longer: 25 tokens on average instead of 20"),
        (24.9, ""),
        (16.0, "shorter: 16 tokens"),
        (16.1, ""),
        (0.0, ""),
        (None, ""),
    ],
)
def test_lengths_are_mentioned_from_a_quarter_more_or_a_fifth_less(after, words) -> None:
    found = results()
    found["comparisons"][0]["tokens"]["mean_after"] = after
    text = verdict(found)["text"]
    assert words in text and ("Its responses are" in text) == bool(words)


@pytest.mark.parametrize(
    ("before", "after", "said"), [(1.0, 0.5, False), (1.0, 0.49, True), (0.4, 0.19, True), (None, 0.1, False)]
)
def test_responses_that_repeat_themselves_are_mentioned_below_half_of_before(before, after, said) -> None:
    text = verdict(results(variants={"sft": {"distinct": before}, "repo": {"distinct": after}}))["text"]
    assert ("repeat themselves" in text) == said


def test_a_source_without_any_score_comes_before_everything_else() -> None:
    silent = {
        "judge": {"responses": 80, "of": 80, "reasons": {"": 80}},
        "model": {"responses": 1, "of": 80, "reasons": {"x": 1}},
    }
    text = verdict(results(unscored=silent))["text"]
    assert text.startswith("No response has a score from the judge (80 without a reason). REPO's mean")
    assert "No response has a score from the reward model" not in text


def test_reasons_are_cut_after_the_most_frequent_three() -> None:
    failed = {"reasons": {"timeout": 9, "http 500": 4, "budget": 2, "a": 1, "b": 1}}
    assert reasons(failed) == "9 timeout, 4 http 500, 2 budget, 2 other reasons"
    assert reasons(failed, most=5) == "9 timeout, 4 http 500, 2 budget, 1 a, 1 b"


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({}, "Mean total reward: 1.00 [0.50, 1.50]."),
        ({"unscored": 2}, "1.00 [0.50, 1.50] (without 2 of 40 responses, whose scores failed)."),
        ({"total": {"mean": 1.0, "low": None, "high": None, "withheld": False}}, "Mean total reward: 1.00."),
        ({"total": {"mean": None, "withheld": False}}, "unknown (no response has a score)."),
        ({"total": {"mean": None, "withheld": True}, "unscored": 9}, "withheld (scores failed for 9 of 40 responses)."),
    ],
)
def test_an_variant_alone_is_described_with_what_is_known_of_it(variant, words) -> None:
    alone = results(variants={"repo": variant}) | {"comparisons": []}
    found = verdict(alone)
    assert found["status"] == "alone" and found["text"].endswith(words)
    assert verdict(alone | {"order": ["base"], "variants": {"base": alone["variants"]["sft"]}})["text"].startswith(
        "There is no other policy to compare the base model with."
    )
