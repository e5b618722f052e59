"""The scorer asks every source, remote ones in parallel with the others, and combines their scores."""

from __future__ import annotations

import math
import threading

import pytest

from repo_exp.errors import RewardError
from repo_exp.rewards.combine import build
from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.rewards.rules import Rule, RuleSet
from repo_exp.rewards.scoring import Scorer
from repo_exp.rewards.sources import reward_model, rules
from repo_exp.types import Prompt, Score, Trajectory

RULES = RuleSet((Rule("short", "", "test", -20.0, lambda response: len(response.response) < 3),))


class Fixed(RewardSource[SourceOptions]):
    """Gives the scores that it was made with, and remembers where it was asked."""

    def __init__(self, name: str, *scores: Score, remote: bool = False) -> None:
        super().__init__(name, SourceOptions(kind="fixed"))
        self.scores, self.remote, self.thread = scores, remote, None
        self.begun: list[str] = []

    def begin(self, trajectory):
        self.begun.append(trajectory.response)

    def score(self, trajectories):
        self.thread = threading.current_thread()
        return list(self.scores)


def model(function, name: str = "model") -> reward_model.Source:
    return reward_model.Source(name, reward_model.Options(kind="reward_model"), function)


def ruled(name: str = "rules") -> rules.Source:
    return rules.Source(name, rules.Options(kind="rules"), RULES)


def scorer(*sources: RewardSource, total: list[str] | None = None, name: str = "enhancement") -> Scorer:
    units = {source.name: source.unit for source in sources if total is None or source.name in total}
    return Scorer(sources, build(name, units, {"n": 100.0}))


def test_each_response_gets_its_own_scores_in_order(make_response):
    judge = Fixed("judge", Score(50.0, {"polite": 50.0}), Score.none("timeout"))
    found = scorer(model(lambda responses: [2.0, -1.0]), judge, ruled())
    first, second = found.score([make_response("long enough"), make_response("no")])
    # E = 50 + 0, R = 2 + 2 * 0.5;  E = 0 - 20, R = -1 - 0.2
    assert (first.enhancement, first.total) == (50.0, 3.0)
    assert (second.enhancement, second.total) == (-20.0, pytest.approx(-1.2))
    assert list(first.scores) == ["model", "judge", "rules"]
    assert second.scores["judge"].reason == "timeout"
    assert (first.missing_sources, second.missing_sources) == ((), ("judge",))


def test_any_number_of_sources_with_any_names(make_response):
    """Base (2 + 4) / 2, E = -20 - 20 - 30 = -70: 3 - 2.1."""
    found = scorer(
        model(lambda _: [2.0]), model(lambda _: [4.0], "rm2"), ruled(), ruled("style"), Fixed("x", Score(-30))
    )
    (worth,) = found.score([make_response("no")])
    assert worth.total == pytest.approx(0.9) and list(worth.scores) == ["model", "rm2", "rules", "style", "x"]


def test_a_source_beside_the_total_is_measured_and_changes_nothing(make_response):
    beside = Fixed("x", Score.none("timeout"))
    (worth,) = scorer(model(lambda _: [2.0]), beside, total=["model"]).score([make_response("abc")])
    assert (worth.total, worth.missing_sources, worth.failed, worth.failed_in_total) == (2.0, (), ("x",), ())


def test_responses_to_one_prompt_are_combined_together():
    """Two prompts, the model's scores 1 3 and 10 30: each is normalised by its own."""
    responses = [Trajectory.single(Prompt(name, ()), "abc") for name in "abab"]
    found = scorer(model(lambda _: [1.0, 10, 3, 30]), name="decoupled").score(responses)
    assert [each.total for each in found] == pytest.approx([-0.7071, -0.7071, 0.7071, 0.7071], abs=1e-4)


def test_a_reward_model_may_say_why_it_has_no_score(make_response):
    found = scorer(model(lambda responses: [Score.none("no reference"), 1.0]))
    first, second = found.score([make_response("a"), make_response("b")])
    assert first.scores["model"].reason == "no reference" and math.isnan(first.total)
    assert second.total == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_model_that_gives_no_number_gives_no_score(make_response, value):
    (worth,) = scorer(model(lambda responses: [value]), ruled()).score([make_response("abc")])
    assert worth.scores["model"].missing
    assert "reward model gave" in worth.scores["model"].reason
    assert math.isnan(worth.total)


def test_remote_sources_wait_side_by_side_while_the_model_works(make_response):
    met = threading.Barrier(3, timeout=5)

    class Waiting(Fixed):
        def score(self, trajectories):
            met.wait()
            return super().score(trajectories)

    def working(responses):
        met.wait()
        return [1.0]

    judges = [Waiting(name, Score(5.0), remote=True) for name in ("judge", "second")]
    (worth,) = scorer(model(working), *judges).score([make_response("abc")])
    assert worth.total == pytest.approx(1.1)
    assert all(judge.thread is not threading.current_thread() for judge in judges)


def test_a_local_source_stays_in_the_callers_thread_and_only_remote_ones_are_told_early(make_response):
    local, remote = Fixed("judge", Score(10.0)), Fixed("far", Score(10.0), remote=True)
    found = scorer(local, remote)
    found.begin(make_response("abc"))
    found.score([make_response("abc")])
    assert local.thread is threading.current_thread()
    assert (local.begun, remote.begun) == ([], ["abc"])


def test_a_source_that_answers_for_too_few_responses_is_a_programming_error(make_response):
    with pytest.raises(ValueError, match="'model' gave 1 scores for 2"):
        scorer(model(lambda r: [1.0])).score([make_response("a"), make_response("b")])


def test_a_reward_needs_a_source_and_no_responses_need_nothing():
    with pytest.raises(RewardError, match="at least one source"):
        scorer()
    assert scorer(model(lambda r: pytest.fail("asked")), ruled()).score([]) == []
