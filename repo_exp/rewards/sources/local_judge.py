"""A judge inside this process: a model gives P(yes) for each question of a rubric."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from repo_exp.rewards.declared import fingerprint
from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.rewards.rubric import Rubric
from repo_exp.types import Score, Trajectory

Ask = Callable[[Sequence[tuple[Trajectory, Sequence[str]]]], list[list[float]]]


class JudgeOptions(SourceOptions):
    """Which rubric a judge answers, and what is changed in it."""

    rubric: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="a folder of conf/rubric, or a path; null is domain.rubric with reward.drop_items, .item_points",
    )
    drop: list[str] = Field([], description="rubric items to leave out, by name")
    points: dict[str, float] = Field({}, description="other points for single rubric items")
    settings: dict[str, object] = Field({}, description="keys of `judge` that differ for this source")


class Options(JudgeOptions):
    """What sets this judge apart from another one."""

    kind: Literal["local_judge"]
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="seed of its initialisation and its training examples; null is the run's seed"
    )


class Source(RewardSource[Options]):
    """Asks the questions that apply to each trajectory, all of them in one call.

    Args:
        rubric: the questions.
        ask: (trajectory, questions) pairs -> P(yes) for each question; NaN where there is no answer.
        hard: count P(yes) >= 0.5 as a whole yes.

    Attributes:
        counts: "responses", "questions", and "unanswered/<item>" for answers that are no probability.
    """

    unit = "points"
    parts = "items"
    label = "judge"

    def __init__(self, name: str, options: Options, rubric: Rubric, ask: Ask, *, hard: bool = False) -> None:
        super().__init__(name, options)
        self.rubric = rubric
        self.counts: Counter[str] = Counter()
        self._ask = ask
        self._hard = hard

    @property
    def fingerprint(self) -> str:
        """The rubric with its points, and how a yes is counted; what was trained is an artifact."""
        return fingerprint([self.rubric.fingerprint, self._hard])

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of all questions."""
        return self.rubric.names

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return the rubric's score of each trajectory; none where no question applies or one has no answer.

        Raises:
            ValueError: the model did not give one answer for each question.
        """
        items = [self.rubric.applicable(trajectory.prompt) for trajectory in trajectories]
        asked = [i for i, applicable in enumerate(items) if applicable]
        answers = self._ask([(trajectories[i], [item.question for item in items[i]]) for i in asked]) if asked else []
        if [len(answer) for answer in answers] != [len(items[i]) for i in asked]:
            raise ValueError("the judge model must give one answer for each question that it is asked")
        probabilities: list[dict[str, float]] = [{} for _ in trajectories]
        for i, answer in zip(asked, answers, strict=True):
            probabilities[i] = {item.name: float(yes) for item, yes in zip(items[i], answer, strict=True)}
        for each in probabilities:
            self.counts.update(f"unanswered/{name}" for name in self.rubric.unanswered(each))
        self.counts["responses"] += len(trajectories)
        self.counts["questions"] += sum(len(answer) for answer in answers if not all(map(math.isnan, answer)))
        return [self.rubric.score(each, hard=self._hard) for each in probabilities]
