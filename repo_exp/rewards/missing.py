"""Stop training when a source leaves too many trajectories without a score, before they are trained on."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence

from repo_exp.errors import MissingScoresError, Problem
from repo_exp.types import RewardBreakdown, SourceInfo

LEAST = 8
"""Trajectories that are counted together at least, so that one failure in a small round stops nothing."""


class MissingScores:
    """Checks each round of scored trajectories.

    A round of fewer than ``LEAST`` trajectories is taken together with those before it, as many as make ``LEAST``. Of
    these (counted as ``LEAST`` while there are fewer) each source may leave the share ``max_missing`` without a score
    that it should have given. Besides, at least one of them needs a total.

    Args:
        max_missing: the share, from 0 (every failure stops) to 1 (none does).
        infos: how messages name the sources.
    """

    def __init__(self, max_missing: float, infos: Mapping[str, SourceInfo] | None = None) -> None:
        self._allowed, self._infos = max_missing, dict(infos or {})
        self._recent: deque[RewardBreakdown] = deque(maxlen=LEAST)

    def check(self, breakdowns: Sequence[RewardBreakdown]) -> None:
        """Check one round.

        Raises:
            MissingScoresError: a source left too many trajectories without a score, or none has a total.
        """
        self._recent.extend(breakdowns)
        looked_at = list(breakdowns) if len(breakdowns) >= LEAST else list(self._recent)
        allowed = self._allowed * max(len(looked_at), LEAST)
        problems = []
        for name in sorted({name for each in looked_at for name in each.scores}):
            reasons = Counter(each.scores[name].reason for each in looked_at if name in each.failed)
            if reasons.total() > allowed:
                problems.append(self._problem(name, reasons, len(looked_at)))
        if not problems and len(looked_at) >= LEAST and all(math.isnan(each.total) for each in looked_at):
            reasons = Counter(score.reason for each in looked_at for score in each.scores.values() if score.missing)
            found = f"none of {len(looked_at)} responses has a total ({_counts(reasons)})"
            problems.append(Problem("reward", found, "another reward.sources"))
        if problems:
            raise MissingScoresError("Training stopped before it used responses without a score.", problems)

    def _problem(self, name: str, reasons: Counter[str], of: int) -> Problem:
        remedy = (
            "fix it and run the same command again: training resumes here and asks for the failed scores again. "
            "To train without these scores: a larger reward.max_missing"
        )
        found = f"no score for {reasons.total()} of {of} responses ({_counts(reasons)})"
        label = self._infos[name].label if name in self._infos else name
        return Problem(label, f"{found}; reward.max_missing allows {self._allowed:.0%}", remedy)


def _counts(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
