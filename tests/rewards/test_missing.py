"""When a silent source stops training: the share, the reasons, the tolerance of small rounds."""

from __future__ import annotations

import math

import pytest

from repo_exp.errors import MissingScoresError
from repo_exp.rewards.missing import MissingScores
from repo_exp.types import RewardBreakdown, Score
from tests.rewards.combining import USUAL, infos


def round_of(judged: int, *reasons: str, total: float = 1.0) -> list[RewardBreakdown]:
    scores = [Score(10.0)] * judged + [Score.none(reason) for reason in reasons]
    return [RewardBreakdown({"model": Score(1.0), "judge": score}, 0.0, total) for score in scores]


def test_a_source_above_the_share_stops_with_its_name_and_the_counts_by_reason():
    watch = MissingScores(0.25, USUAL)
    watch.check(round_of(24, *["timeout"] * 8))  # 8 of 32 is the share itself
    with pytest.raises(MissingScoresError) as caught:
        watch.check(round_of(22, *["timeout"] * 7, *["budget"] * 3))
    (problem,) = caught.value.problems
    assert problem.where == "judge"
    assert "10 of 32 responses (7 timeout, 3 budget); reward.max_missing allows 25%" in problem.found
    assert "same command" in problem.remedy


def test_one_hiccup_in_a_small_round_stops_nothing_but_several_do():
    watch = MissingScores(0.25)
    watch.check(round_of(1, "timeout"))  # 1 of 2: counted as of 8
    watch.check(round_of(2))
    watch.check(round_of(1, "timeout"))  # 2 of the last 8 is a quarter
    with pytest.raises(MissingScoresError, match="3 of 8"):
        watch.check(round_of(1, "timeout"))


def test_a_run_of_single_responses_without_a_judge_stops_soon():
    watch = MissingScores(0.25)
    watch.check(round_of(0, "endpoint down"))
    watch.check(round_of(0, "endpoint down"))
    with pytest.raises(MissingScoresError):
        watch.check(round_of(0, "endpoint down"))


def test_what_a_source_has_nothing_to_say_of_stops_nothing():
    silent = Score.none("no question applies", applies=False)
    worth = [RewardBreakdown({"model": Score(1.0), "judge": silent}, 0.0, 1.0)] * 16
    MissingScores(0.0).check(worth)


def test_a_round_without_any_total_stops_even_if_nothing_failed():
    none = Score.none("the prompt has no reference response", applies=False)
    worth = [RewardBreakdown({"model": none}, 0.0, math.nan)] * 8
    with pytest.raises(MissingScoresError, match="none of 8 responses has a total"):
        MissingScores(1.0).check(worth)


def test_the_share_of_one_lets_everything_through_and_of_none_nothing():
    MissingScores(1.0).check(round_of(0, *["budget"] * 8))
    with pytest.raises(MissingScoresError):
        MissingScores(0.0).check(round_of(31, "budget"))


def test_a_message_names_a_source_as_readers_know_it():
    failed = [RewardBreakdown({"rm2": Score.none("not finite")}, 0.0, math.nan)] * 8
    with pytest.raises(MissingScoresError, match="reward model rm2: no score for 8 of 8"):
        MissingScores(0.5, infos("rm2")).check(failed)
