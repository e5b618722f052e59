"""The token budget cut the reply off."""

from __future__ import annotations

from repo_exp.types import Reply


def check(trajectory: Reply) -> bool:
    """Broken where the policy did not come to an end by itself."""
    return not trajectory.finished
