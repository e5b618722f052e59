"""The response repeats an earlier turn of the agent."""

from __future__ import annotations

from collections.abc import Iterator

from repo_exp.rewards.rules.matching import words_of
from repo_exp.types import Trajectory


def check(trajectory: Trajectory, *, size: int = 4, most: float = 0.5, shortest: int = 8) -> bool:
    """Broken where too many runs of words stand in one of the agent's earlier turns.

    Args:
        response: of the policy.
        size: how many words a run has.
        most: the share of the response's runs that one earlier turn may hold.
        shortest: responses of fewer words may be repeated ("Thank you, that works for us").
    """
    words = words_of(trajectory.response)
    if len(words) < max(shortest, size):
        return False
    runs = _runs(words, size)
    earlier = [message.content for message in trajectory.prompt.messages if message.role == "assistant"]
    return any(len(runs & _runs(words_of(turn), size)) > most * len(runs) for turn in earlier)


def faults(*, size: int = 4, most: float = 0.5, shortest: int = 8) -> Iterator[tuple[str, str]]:
    """Runs of no words, or a share outside [0, 1]."""
    if size < 1:
        yield "size", "a run has at least one word"
    if not 0 <= most <= 1:
        yield "most", f"{most} is no share between 0 and 1"


def _runs(words: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}
