"""The token budget cut the response off."""

from __future__ import annotations

from repo_exp.types import Trajectory


def check(trajectory: Trajectory) -> bool:
    """Broken where the policy did not come to an end by itself."""
    return not trajectory.finished
