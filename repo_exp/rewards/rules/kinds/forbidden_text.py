"""The response contains text that must not occur."""

from __future__ import annotations

from repo_exp.rewards.rules.matching import any_occurs, pattern_faults, plain
from repo_exp.types import Trajectory


def check(trajectory: Trajectory, *, patterns: list[str], whole_words: bool = True) -> bool:
    """Broken where a pattern (regular expression, case-insensitive) occurs.

    With ``whole_words`` a pattern does not begin or end inside a word: ``net`` is not in ``network``.
    """
    return any_occurs(patterns, plain(trajectory.response), whole_words=whole_words)


def faults(*, patterns: list[str], whole_words: bool = True) -> list[tuple[str, str]]:
    """Patterns that cannot be used."""
    return pattern_faults("patterns", patterns)
