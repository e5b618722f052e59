"""Points for length: 0 up to some words, falling linearly to a maximum penalty (DAPO's soft penalty, 2503.14476).

E = 0                                                  words <= start
E = -points * (words - start) / (end - start)          start < words < end
E = -points                                            words >= end
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.types import Score, Trajectory

Words = Annotated[int, Field(ge=0)]


class Options(SourceOptions):
    """Where the penalty begins and ends, in words that white space separates, and its size."""

    kind: Literal["length"]
    start: Words = Field(80, description="number of words up to which there is no penalty")
    end: Words = Field(160, description="number of words at which the penalty is largest")
    points: Annotated[float, Field(ge=0)] = Field(50.0, description="the largest penalty")

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.end <= self.start:
            raise ValueError(f"an end above start = {self.start}")
        return self


class Source(RewardSource[Options]):
    """The soft penalty on the response's words."""

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return 0 points or less for each trajectory."""
        return [Score(self._points(len(trajectory.response.split()))) for trajectory in trajectories]

    def _points(self, words: int) -> float:
        start, end = self.options.start, self.options.end
        return -self.options.points * min(max(words - start, 0) / (end - start), 1.0)
