"""Stop training where a source has fallen silent, before anything is learnt from what it did not say."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from repo_exp.errors import MissingScoresError, Problem
from repo_exp.types import RewardBreakdown

LEAST = 8
"""Replies that are looked at together at least, so that one hiccup in a small round stops nothing."""


class MissingScores:
    """Looks at each round of scored replies.

    A round of fewer than ``LEAST`` replies is looked at together with those before it, as many as make ``LEAST``. Of
    these replies (counted as ``LEAST`` if there are fewer yet) each source may leave the share ``max_missing`` without
    a score that it should have given. Apart from that, at least one of them has to have a total.

    Args:
        max_missing: the share, from 0 (every failure stops) to 1 (none does).
    """

    def __init__(self, max_missing: float) -> None:
        self._allowed = max_missing
        self._before: deque[RewardBreakdown] = deque(maxlen=LEAST)

    def look(self, breakdowns: Sequence[RewardBreakdown]) -> None:
        """Take in one round.

        Raises:
            MissingScoresError: a source left too many replies without a score, or no reply has a total.
        """
        self._before.extend(breakdowns)
        seen = list(breakdowns) if len(breakdowns) >= LEAST else list(self._before)
        allowed = self._allowed * max(len(seen), LEAST)
        problems = []
        for name in sorted({name for each in seen for name in each.sources}):
            reasons = Counter(each.sources[name].reason for each in seen if name in each.failed)
            if reasons.total() > allowed:
                problems.append(self._silent(name, reasons, len(seen)))
        if not problems and len(seen) >= LEAST and all(each.total != each.total for each in seen):
            why = Counter(score.reason for each in seen for score in each.sources.values() if score.missing)
            problems.append(
                Problem("reward", f"none of {len(seen)} replies has a total ({_counts(why)})", "another reward.sources")
            )
        if problems:
            raise MissingScoresError("Training stopped before it learnt from replies that are not scored.", problems)

    def _silent(self, name: str, reasons: Counter[str], of: int) -> Problem:
        remedy = (
            "see to it and give the same command again: training goes on from here, and what failed is asked again. "
            "To learn without these scores all the same: a larger reward.max_missing"
        )
        found = f"no score for {reasons.total()} of {of} replies ({_counts(reasons)})"
        return Problem(
            {"judge": "judge", "model": "reward model"}.get(name, name),
            f"{found}; reward.max_missing allows {self._allowed:.0%}",
            remedy,
        )


def _counts(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
