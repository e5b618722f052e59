"""One round of responses: published, sampled, scored and recorded in this order, with figures of every response."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from repo_exp.rollout.engine import Sampling
from repo_exp.training import collecting
from repo_exp.training.collecting import Collector, Rewards
from repo_exp.types import Prompt, RewardBreakdown, Trajectory

PROMPTS = [Prompt(name, ()) for name in "abc"]
SAMPLED = [Trajectory.single(prompt, "x", finished, tokens)
           for prompt, finished, tokens in zip(PROMPTS, (True, False, True), (4, 9, 2), strict=True)]  # fmt: skip
SAMPLING = Sampling(0.7, max_new_tokens=9)


@pytest.fixture
def round_of(monkeypatch):
    """Return a function that collects a round, and the list of what happened."""
    events = []

    @contextmanager
    def phases(name):
        events.append(("begin", name))
        yield
        events.append(("end", name))

    class Engine:
        def publish(self, role, version):
            events.append(("publish", role, version))

    def collect(prompts, engine, tokenizer, sampling, *, seed, on_finished):
        events.append(("collect", [prompt.id for prompt in prompts], tokenizer, sampling, seed, on_finished))
        return list(SAMPLED)

    def score(trajectories):
        events.append(("score", len(trajectories)))
        return [RewardBreakdown({}, 0.0, float(each.tokens)) for each in trajectories]

    def record(update, trajectories, rewards):
        events.append(("record", update, [each.total for each in rewards], trajectories == SAMPLED))

    monkeypatch.setattr(collecting, "collect", collect)

    def run(**changes):
        rewards = Rewards(**{"score": score, "record": record} | changes)
        collector = Collector(Engine(), "tokenizer", SAMPLING, rewards, phases)
        return collector.collect(7, PROMPTS, role="rollout", version=3, seed=11)

    return run, events


def test_weights_are_published_before_they_sample_and_scores_are_recorded_after_all(round_of) -> None:
    run, events = round_of
    run(begin=print)
    assert events == [
        ("publish", "rollout", 3),
        ("begin", "sample"),
        ("collect", ["a", "b", "c"], "tokenizer", SAMPLING, 11, print),
        ("end", "sample"),
        ("begin", "score"),
        ("score", 3),
        ("end", "score"),
        ("record", 7, [4.0, 9.0, 2.0], True),
    ]


def test_a_round_has_its_responses_their_rewards_and_the_figures_of_both(round_of) -> None:
    """4 + 9 + 2 tokens over three; one of three was cut off. What describes the rewards keeps its own dictionary."""
    run, _ = round_of
    own = {"reward/total": 5.0}
    found = run(describe=lambda rewards: own)
    assert found.trajectories == SAMPLED and [each.total for each in found.rewards] == [4.0, 9.0, 2.0]
    assert found.metrics == {"reward/total": 5.0, "reply/tokens": 5.0, "reply/unfinished": pytest.approx(1 / 3)}
    assert own == {"reward/total": 5.0}


def test_rewards_need_only_a_score(round_of) -> None:
    run, events = round_of
    found = run(record=lambda *_: None)
    assert set(found.metrics) == {"reply/tokens", "reply/unfinished"}
    assert events[2][-1] is None  # nobody waits for responses that have ended


def test_a_round_that_cannot_be_scored_is_not_recorded(round_of) -> None:
    run, events = round_of

    def score(trajectories):
        raise RuntimeError("the judge is gone")

    with pytest.raises(RuntimeError, match="gone"):
        run(score=score)
    assert not [event for event in events if event[0] == "record"]
