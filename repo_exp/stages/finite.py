"""Handles scores and answers that are not finite: a role without any finite one is broken, and the run stops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.training.callbacks.guard import REMEDY


def require_all(values: Sequence[float], *, role: str, what: str) -> None:
    """Check values that a measure is computed from: a comparison with NaN is false, and would count as an answer.

    Args:
        values: outputs of the role.
        role: its name.
        what: the values are, for the message: "scores of held-out responses".

    Raises:
        NotFiniteError: one of them is not finite.
    """
    _require(values, least=len(values), role=role, what=what)


def require_some(values: Sequence[float], *, role: str, what: str, least: int = 1) -> None:
    """Check scores of which some may be missing.

    Args:
        values, role, what: as in :func:`require_all`.
        least: how many have to be finite.

    Raises:
        NotFiniteError: fewer are finite, and at least one is not.
    """
    _require(values, least=least, role=role, what=what)


def _require(values: Sequence[float], *, least: int, role: str, what: str) -> None:
    wrong = [i for i, value in enumerate(values) if not math.isfinite(value)]
    if wrong and len(values) - len(wrong) < least:
        first = f"the first is number {wrong[0]}, which is {values[wrong[0]]}"
        found = f"{len(wrong)} of {len(values)} {what} are not finite; {first}"
        raise NotFiniteError(f"the role {role} is broken", [Problem(f"role {role}", found, REMEDY)])
