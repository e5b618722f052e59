"""The scorer asks every source, side by side where one waits for a network, and joins what they say."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import pytest

from repo_exp.errors import RewardError
from repo_exp.rewards.joins import build_join
from repo_exp.rewards.rules import Rule, RuleSet
from repo_exp.rewards.scoring import Scorer
from repo_exp.types import Context, Score

JOIN = build_join("enhancement", n=100.0)
RULES = RuleSet((Rule("short", "", "test", -20.0, lambda reply: len(reply.text) < 3),))


class FixedJudge:
    def begin(self, reply):
        self.begun = [*getattr(self, "begun", []), reply.text]

    def __init__(self, *scores: Score, remote: bool = False) -> None:
        self.scores, self.remote, self.thread = scores, remote, None

    def judge(self, replies):
        self.thread = threading.current_thread()
        return list(self.scores)


def test_each_reply_gets_its_own_scores_in_order(make_reply):
    judge = FixedJudge(Score(50.0, {"polite": 50.0}), Score.none("timeout"))
    scorer = Scorer(reward_model=lambda replies: [2.0, -1.0], judge=judge, rules=RULES, join=JOIN)
    first, second = scorer.score([make_reply("long enough"), make_reply("no")])
    # E = 50 + 0, R = 2 + 2 * 0.5;  E = 0 - 20, R = -1 - 0.2
    assert (first.enhancement, first.total) == (50.0, 3.0)
    assert (second.enhancement, second.total) == (-20.0, pytest.approx(-1.2))
    assert list(first.sources) == ["model", "judge", "rules"]
    assert second.sources["judge"].reason == "timeout"
    assert (first.lacks, second.lacks) == ((), ("judge",))


def test_replies_to_one_context_are_joined_together(make_reply):
    """Two contexts, the model's scores 1 3 and 10 30: each is normalised by its own."""
    replies = [replace(make_reply("abc"), prompt=Context(name, ())) for name in "abab"]
    join = build_join("decoupled", n=100.0)
    found = Scorer(reward_model=lambda _: [1.0, 10, 3, 30], judge=None, rules=None, join=join).score(replies)
    assert [each.total for each in found] == pytest.approx([-0.7071, -0.7071, 0.7071, 0.7071], abs=1e-4)


def test_a_reward_model_may_say_why_it_has_no_score(make_reply):
    scorer = Scorer(reward_model=lambda replies: [Score.none("no reference"), 1.0], judge=None, rules=None, join=JOIN)
    first, second = scorer.score([make_reply("a"), make_reply("b")])
    assert first.sources["model"].reason == "no reference" and math.isnan(first.total)
    assert second.total == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_model_that_gives_no_number_gives_no_score(make_reply, value):
    (worth,) = Scorer(reward_model=lambda replies: [value], judge=None, rules=RULES, join=JOIN).score(
        [make_reply("abc")]
    )
    assert worth.sources["model"].missing
    assert "reward model gave" in worth.sources["model"].reason
    assert math.isnan(worth.total)


def test_a_remote_judge_waits_while_the_model_works(make_reply):
    met = threading.Barrier(2, timeout=5)

    class Waiting(FixedJudge):
        def judge(self, replies):
            met.wait()
            return super().judge(replies)

    def model(replies):
        met.wait()
        return [1.0]

    judge = Waiting(Score(10.0), remote=True)
    (worth,) = Scorer(reward_model=model, judge=judge, rules=None, join=JOIN).score([make_reply("abc")])
    assert worth.total == pytest.approx(1.1)
    assert judge.thread is not threading.current_thread()


def test_a_local_judge_stays_in_the_callers_thread(make_reply):
    judge = FixedJudge(Score(10.0))
    Scorer(reward_model=None, judge=judge, rules=None, join=JOIN).score([make_reply("abc")])
    assert judge.thread is threading.current_thread()


def test_a_source_that_answers_for_too_few_replies_is_a_programming_error(make_reply):
    with pytest.raises(ValueError, match="2 replies"):
        Scorer(reward_model=lambda r: [1.0], judge=None, rules=None, join=JOIN).score(
            [make_reply("a"), make_reply("b")]
        )


def test_a_reward_needs_a_source_and_no_replies_need_nothing():
    with pytest.raises(RewardError, match="at least one source"):
        Scorer(reward_model=None, judge=None, rules=None, join=JOIN)
    assert Scorer(reward_model=lambda r: pytest.fail("asked"), judge=None, rules=RULES, join=JOIN).score([]) == []
