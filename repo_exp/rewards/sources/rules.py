"""Rules that a program checks: the points of those that a trajectory breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.rewards.rules.ruleset import RuleSet
from repo_exp.types import Score, Trajectory


class Options(SourceOptions):
    """Which folder of rules, and what is changed in it."""

    kind: Literal["rules"]
    folder: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="a folder of conf/rules, or a path; null is domain.rules with reward.drop_rules, .rule_points"
    )
    drop: list[str] = Field([], description="rules to leave out, by name")
    points: dict[str, Annotated[float, Field(le=0)]] = Field({}, description="other points for single rules")


class Source(RewardSource[Options]):
    """Scores with a set of rules.

    Args:
        rules: read from the folder, with the changes of ``options``.
    """

    unit = "points"
    parts = "violations"
    label = "rules"

    def __init__(self, name: str, options: Options, rules: RuleSet) -> None:
        super().__init__(name, options)
        self.rules = rules

    @property
    def fingerprint(self) -> str:
        """The rules with their points; wherever they were read from."""
        return self.rules.fingerprint

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of all rules."""
        return self.rules.names

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return the points of the broken rules of each trajectory."""
        return [self.rules.score(trajectory) for trajectory in trajectories]
