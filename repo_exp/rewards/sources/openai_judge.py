"""A judge behind an OpenAI-compatible endpoint; ``rewards/judge/openai_judge.py`` does the asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from repo_exp.rewards.declared import fingerprint
from repo_exp.rewards.interface import RewardSource
from repo_exp.rewards.judge.openai_judge import OpenAIJudge
from repo_exp.rewards.sources.local_judge import JudgeOptions
from repo_exp.types import Score, Trajectory


class Options(JudgeOptions):
    """What sets this judge apart from another one."""

    kind: Literal["openai_judge"]


class Source(RewardSource[Options]):
    """Scores with the verdicts of an endpoint.

    Args:
        judge: asks the endpoint the questions of a rubric.
    """

    unit = "points"
    remote = True
    parts = "items"
    label = "judge"

    def __init__(self, name: str, options: Options, judge: OpenAIJudge) -> None:
        super().__init__(name, options)
        self.judge = judge

    @property
    def fingerprint(self) -> str:
        """The rubric with its points, and which model answers it where and how."""
        return fingerprint([self.judge.rubric.fingerprint, self.judge.identity])

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of all questions."""
        return self.judge.rubric.names

    def begin(self, trajectory: Trajectory) -> None:
        """Ask about a trajectory without waiting for the answer."""
        self.judge.begin(trajectory)

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return the rubric's score of each trajectory; whatever goes wrong is a missing score."""
        return self.judge.judge(trajectories)
