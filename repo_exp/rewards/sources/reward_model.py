"""A reward model, trained on preference pairs and calibrated: 0 is the mean of the SFT policy, 1 its deviation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.types import NOT_FINITE, Score, Trajectory

ScoreFunction = Callable[[Sequence[Trajectory]], Sequence[float | Score]]


class Options(SourceOptions):
    """What sets this reward model apart from another one."""

    kind: Literal["reward_model"]
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="seed of its initialisation, its data order and its calibration; null is the run's seed"
    )
    settings: dict[str, object] = Field({}, description="keys of `reward_model` that differ for this source")


class Source(RewardSource[Options]):
    """Scores with a trained model.

    Args:
        function: trajectories -> calibrated scores, or ``Score.none`` with the reason. A number that is not finite
            becomes a missing score.
    """

    unit = "score"
    label = "reward model"

    def __init__(self, name: str, options: Options, function: ScoreFunction) -> None:
        super().__init__(name, options)
        self._function = function

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return the calibrated score of each trajectory."""
        return [_as_score(value) for value in self._function(trajectories)]


def _as_score(value: float | Score) -> Score:
    if isinstance(value, Score):
        return value
    if math.isfinite(value):
        return Score(float(value))
    return Score.none(f"{NOT_FINITE}: the reward model gave {float(value)}")
