"""The examples follow from the scores, not from taste."""

from __future__ import annotations

import json
import math

from repo_exp.evaluation.examples import worked_example
from repo_exp.types import RewardBreakdown, Score, Trajectory
from tests.evaluation.usual import choose_examples


def variant(make, totals, broken=()):
    return [
        (
            Trajectory.single(make.prompt(i), "hello"),
            RewardBreakdown({"rules": Score(-60.0, {"a": -60.0}) if i in broken else Score(0.0)}, 0.0, total),
        )
        for i, total in enumerate(totals)
    ]


def chosen(examples):
    return {example["why"]: int(example["prompt"].removeprefix("hotel-")) for example in examples}


def test_gain_loss_median_and_broken_rules_are_shown_and_none_twice(make):
    before = variant(make, [0.0] * 9, broken={1, 5, 6})
    after = variant(make, [-2, 5, 1, 0, 2, 3, 0.5, 0.8, 0.9], broken={6, 7})
    # sorted gains: 5 (1), 3 (5), 2 (4), 1 (2), 0.9 (8), 0.8 (7), 0.5 (6), 0 (3), -2 (0); the middle of nine is 8
    assert chosen(choose_examples({"sft": before, "repo": after})) == {
        "the biggest gain": 1,
        "the biggest loss": 0,
        "the median difference": 8,
        "a rule was broken before and is kept now": 5,
        "a rule was kept before and is broken now": 7,
        "a rule is broken by both": 6,
    }


def test_what_is_no_loss_is_not_called_one(make):
    examples = choose_examples({"sft": variant(make, [0, 0, 0]), "repo": variant(make, [1, 2, 3])})
    assert chosen(examples) == {"the biggest gain": 2, "the lowest difference": 0, "the median difference": 1}


def test_unscored_responses_are_no_gain_and_no_loss(make):
    examples = choose_examples({"sft": variant(make, [math.nan, 0.0]), "repo": variant(make, [9.0, 1.0])})
    assert chosen(examples) == {"the biggest gain": 1}


def test_an_example_carries_every_variant_every_score_and_is_json(make):
    variants = {name: make.variant(skill, n=8) for name, skill in (("base", 0.1), ("sft", 0.3), ("repo", 0.9))}
    example = choose_examples(variants)[0]
    assert list(example["responses"]) == ["base", "sft", "repo"]
    assert (example["before"], example["after"]) == ("sft", "repo")
    assert set(example["responses"]["repo"]["sources"]) == {"model", "judge", "rules"}
    assert example["messages"][-1]["role"] == "user"
    json.dumps(choose_examples(variants), allow_nan=False)


def test_one_variant_or_no_prompt_has_no_examples(make):
    assert choose_examples({"sft": variant(make, [1.0])}) == []
    assert choose_examples({"sft": [], "repo": []}) == []
    assert worked_example({"sft": []}) is None


def test_the_worked_example_is_one_in_which_every_source_speaks(make):
    answers = [
        (Trajectory.single(make.prompt(0), "a"), make.breakdown(1.0, {}, {})),
        (Trajectory.single(make.prompt(1), "b"), make.breakdown(1.0, {"x": 90.0, "y": 90.0}, {"z": -10.0})),  # clipped
        (Trajectory.single(make.prompt(2), "c"), make.breakdown(1.2, {"x": 30.0}, {"z": -10.0})),
        (Trajectory.single(make.prompt(3), "d"), make.breakdown(1.3, {"x": 30.0}, {"z": -10.0})),
    ]
    assert worked_example({"sft": answers[:1] * 4, "repo": answers})["text"] == "c"
