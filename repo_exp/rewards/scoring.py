"""Ask the sources side by side what replies are worth, and join what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from repo_exp.errors import RewardError
from repo_exp.rewards.joins import Join
from repo_exp.rewards.judge.protocol import Judge
from repo_exp.rewards.rules.ruleset import RuleSet
from repo_exp.types import NOT_FINITE, Reply, RewardBreakdown, Score

RewardModel = Callable[[Sequence[Reply]], Sequence[float | Score]]


class Scorer:
    """Scores replies with the sources it is given; ``None`` leaves a source out.

    Args:
        reward_model: replies -> calibrated scores; what is not finite becomes "no score", unless it is one already.
        judge: answers the rubric.
        rules: the rule functions.
        join: the sources of all replies, and which of them answer the same context -> totals.

    Raises:
        RewardError: there is no source at all.
    """

    def __init__(
        self, *, reward_model: RewardModel | None, judge: Judge | None, rules: RuleSet | None, join: Join
    ) -> None:
        if reward_model is None and judge is None and rules is None:
            raise RewardError("A reward needs at least one source: model, judge or rules.")
        self.reward_model = reward_model
        self.judge = judge
        self.rules = rules
        self.join = join

    def begin(self, reply: Reply) -> None:
        """Hear of a reply as soon as it is finished: a remote judge is asked while others are still sampled."""
        if self.judge is not None and self.judge.remote:
            self.judge.begin(reply)

    def score(self, replies: Sequence[Reply]) -> list[RewardBreakdown]:
        """Return what each reply is worth, in the same order.

        A remote judge waits in a thread of its own while model and rules are at work.
        """
        if not replies:
            return []
        asked: dict[str, list[Score]] = {}
        pool = ThreadPoolExecutor(1)
        try:
            waiting = pool.submit(self.judge.judge, replies) if self.judge is not None and self.judge.remote else None
            if self.reward_model is not None:
                asked["model"] = [_model_score(value) for value in self.reward_model(replies)]
            if self.rules is not None:
                asked["rules"] = [self.rules.score(reply) for reply in replies]
            if waiting is not None:
                asked["judge"] = waiting.result()
            elif self.judge is not None:
                asked["judge"] = self.judge.judge(replies)
        finally:
            pool.shutdown(wait=False)  # after an error or a stop, nobody waits for a judge that hangs
        for source, scores in asked.items():
            if len(scores) != len(replies):
                raise ValueError(f"the {source} gave {len(scores)} scores for {len(replies)} replies")
        names = [name for name in ("model", "judge", "rules") if name in asked]
        sources = [{name: asked[name][i] for name in names} for i in range(len(replies))]
        joined = self.join(sources, [reply.context.id for reply in replies])
        return [
            RewardBreakdown(said, told.enhancement, told.total, told.clipped, told.lacks)
            for said, told in zip(sources, joined, strict=True)
        ]


def _model_score(value: float | Score) -> Score:
    if isinstance(value, Score):
        return value
    if math.isfinite(value):
        return Score(float(value))
    return Score.none(f"{NOT_FINITE}: the reward model gave {float(value)}")
