"""What a role says where it is measured or asked: a role that says nothing finite is broken, and the run stops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.training.callbacks.guard import REMEDY


def require_all(said: Sequence[float], *, role: str, what: str) -> None:
    """Look at figures that a measure is taken of: a comparison with NaN is false, and would count as an answer.

    Args:
        said: what the role says.
        role: whose figures they are.
        what: they are, for the message: "scores of held-out replies".

    Raises:
        NotFiniteError: one of them is not finite.
    """
    _require(said, least=len(said), role=role, what=what)


def require_some(said: Sequence[float], *, role: str, what: str, least: int = 1) -> None:
    """Look at scores of which some may be missing.

    Args:
        said, role, what: as in :func:`require_all`.
        least: how many have to be there.

    Raises:
        NotFiniteError: so many are not finite that fewer are left.
    """
    _require(said, least=least, role=role, what=what)


def _require(said: Sequence[float], *, least: int, role: str, what: str) -> None:
    wrong = [i for i, value in enumerate(said) if not math.isfinite(value)]
    if wrong and len(said) - len(wrong) < least:
        first = f"the first is number {wrong[0]}, which is {said[wrong[0]]}"
        found = f"{len(wrong)} of {len(said)} {what} are not finite; {first}"
        raise NotFiniteError(f"the role {role} is broken", [Problem(f"role {role}", found, REMEDY)])
