"""One round of responses: sampled by an engine, scored, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from repo_exp.rollout.collector import Tokenizer, collect
from repo_exp.rollout.engine import Engine, Sampling
from repo_exp.training.base import Metrics
from repo_exp.types import Prompt, RewardBreakdown, Trajectory


@dataclass(frozen=True, slots=True)
class Rewards:
    """Where rewards come from and where they go.

    Attributes:
        score: returns the reward of each response.
        describe: turns the rewards of an update into metrics.
        record: is called with (update, responses, rewards) to keep them.
        begin: is called with each response as soon as it has ended, so that scoring can begin; None waits.
    """

    score: Callable[[Sequence[Trajectory]], list[RewardBreakdown]]
    describe: Callable[[Sequence[RewardBreakdown]], Metrics] = lambda _: {}
    record: Callable[[int, Sequence[Trajectory], Sequence[RewardBreakdown]], None] = lambda *_: None
    begin: Callable[[Trajectory], None] | None = None


class Round(NamedTuple):
    """The responses of an update, and their rewards."""

    trajectories: list[Trajectory]
    rewards: list[RewardBreakdown]
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Collector:
    """Samples the responses of an update and has them scored.

    Attributes:
        engine: samples them.
        tokenizer: of the engine's model.
        phases: measures the time of sampling and scoring.
    """

    engine: Engine
    tokenizer: Tokenizer
    sampling: Sampling
    rewards: Rewards
    phases: Callable[[str], AbstractContextManager[None]]

    def collect(self, update: int, prompts: Sequence[Prompt], *, role: str, version: int, seed: int) -> Round:
        """Return one response to each prompt, scored and recorded.

        Args:
            update: its number, for the record.
            role: that samples.
            version: of its weights: how often they have changed.
            seed: of all draws.
        """
        self.engine.publish(role, version)
        with self.phases("sample"):
            trajectories = collect(
                prompts, self.engine, self.tokenizer, self.sampling, seed=seed, on_finished=self.rewards.begin
            )
        with self.phases("score"):
            rewards = self.rewards.score(trajectories)
        self.rewards.record(update, trajectories, rewards)
        metrics: Metrics = dict(self.rewards.describe(rewards))
        metrics["reply/tokens"] = sum(each.tokens for each in trajectories) / len(trajectories)
        metrics["reply/unfinished"] = sum(not each.finished for each in trajectories) / len(trajectories)
        return Round(trajectories, rewards, metrics)
