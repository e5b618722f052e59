"""The response has neither a letter nor a digit."""

from __future__ import annotations

from repo_exp.rewards.rules.matching import plain
from repo_exp.types import Trajectory


def check(trajectory: Trajectory) -> bool:
    """Broken by nothing, white space, invisible characters and bare punctuation."""
    return not any(letter.isalnum() for letter in plain(trajectory.response.strip()))
