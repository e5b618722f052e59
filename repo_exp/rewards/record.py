"""A trajectory with every score as JSON: a line of ``rollouts.jsonl`` or ``responses.jsonl``."""

from __future__ import annotations

from typing import Any

from repo_exp.plain import plain
from repo_exp.types import RewardBreakdown, Score, Trajectory


def record(trajectory: Trajectory, breakdown: RewardBreakdown, **extra: Any) -> dict[str, Any]:
    """Return a trajectory and its reward as JSON; a number that is not finite becomes null.

    Args:
        extra: further keys (the update, say), which come first.

    Raises:
        ValueError: a further key has the name of one of the others.
    """
    row = {
        "prompt": trajectory.prompt.id,
        "messages": [{"role": message.role, "content": message.content} for message in trajectory.prompt.messages],
        "response": trajectory.response,
        "finished": trajectory.finished,
        "tokens": trajectory.tokens,
        "total": breakdown.total,
        "enhancement": breakdown.enhancement,
        "clipped": breakdown.clipped,
        "missing_sources": list(breakdown.missing_sources),
        "sources": {name: _score(score) for name, score in breakdown.scores.items()},
    }
    if taken := sorted(set(extra) & set(row)):
        raise ValueError(f"the record has a key '{taken[0]}' of its own")
    found: dict[str, Any] = plain({**extra, **row})
    return found


def _score(score: Score) -> dict[str, Any]:
    row = {"value": score.value, "parts": dict(score.parts), "reason": score.reason, "words": score.words}
    return row | ({"applies": score.applies} if score.missing else {})
