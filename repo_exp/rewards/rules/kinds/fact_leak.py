"""The response states a confidential fact together with words that reveal its meaning."""

from __future__ import annotations

from typing import Any

from repo_exp.language.prices import mentioned_prices
from repo_exp.rewards.facts import is_number, values_at
from repo_exp.rewards.rules.matching import any_occurs, clauses, pattern_faults
from repo_exp.types import Trajectory


def check(trajectory: Trajectory, *, facts: list[str], revealing: list[str], tolerance: float = 0.5) -> bool | None:
    """Broken by a sentence that holds both a revealing pattern and the value of a fact.

    Args:
        response: of the policy.
        facts: paths of what is confidential: numbers or texts.
        revealing: patterns such as ``our limit``; the same number without them is only an offer.
        tolerance: how far off a number may be and still give the fact away.
    """
    suspicious = [clause for clause in clauses(trajectory.response) if any_occurs(revealing, clause)]
    if not suspicious:
        return False
    secrets = [value for path in facts for value in values_at(trajectory.prompt.facts, path) if value is not None]
    if not secrets:
        return None
    return any(_says(clause, secret, tolerance) for clause in suspicious for secret in secrets)


def faults(*, facts: list[str], revealing: list[str], tolerance: float = 0.5) -> list[tuple[str, str]]:
    """Patterns that cannot be used, or nothing to protect."""
    return pattern_faults("revealing", revealing) + ([] if facts else [("facts", "names no path")])


def _says(clause: str, secret: Any, tolerance: float) -> bool:
    if is_number(secret):
        return any(abs(amount.value - float(secret)) <= tolerance for amount in mentioned_prices(clause))
    return bool(str(secret).strip()) and str(secret).casefold() in clause.casefold()
