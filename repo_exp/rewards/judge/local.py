"""A judge inside this process: a model gives P(yes) for each question of the rubric."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from repo_exp.rewards.rubric import Rubric
from repo_exp.types import Reply, Score

Ask = Callable[[Sequence[tuple[Reply, Sequence[str]]]], list[list[float]]]


class LocalJudge:
    """Asks the questions that apply to each reply, all of them in one call.

    Args:
        rubric: the questions.
        ask: (reply, questions) pairs -> P(yes) for each question; NaN where there is no answer.
        hard: count P(yes) >= 0.5 as a whole yes.

    Attributes:
        counts: "replies", "questions", and "unanswered/<item>" for answers that are no probability.
    """

    remote = False

    def __init__(self, rubric: Rubric, ask: Ask, *, hard: bool = False) -> None:
        self.rubric = rubric
        self.counts: Counter[str] = Counter()
        self._ask = ask
        self._hard = hard

    def begin(self, reply: Reply) -> None:
        """Do nothing: the model is needed for other work until ``judge`` is called."""

    def judge(self, replies: Sequence[Reply]) -> list[Score]:
        """Return the rubric's score of each reply; no score where no question applies or none is answered.

        Raises:
            ValueError: the model did not give one answer for each question.
        """
        asked = [self.rubric.applicable(reply.context) for reply in replies]
        at = [index for index, items in enumerate(asked) if items]
        answers = self._ask([(replies[i], [item.question for item in asked[i]]) for i in at]) if at else []
        if [len(answer) for answer in answers] != [len(asked[i]) for i in at]:
            raise ValueError("the judge model must give one answer for each question that it is asked")
        probabilities: list[dict[str, float]] = [{} for _ in replies]
        for i, answer in zip(at, answers, strict=True):
            probabilities[i] = {item.name: float(yes) for item, yes in zip(asked[i], answer, strict=True)}
        for given in probabilities:
            self.counts.update(f"unanswered/{name}" for name in self.rubric.unanswered(given))
        self.counts["replies"] += len(replies)
        self.counts["questions"] += sum(len(answer) for answer in answers if not all(map(math.isnan, answer)))
        return [self.rubric.score(given, hard=self._hard) for given in probabilities]
