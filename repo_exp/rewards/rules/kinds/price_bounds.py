"""The response names a price that is far too low or too high."""

from __future__ import annotations

from collections.abc import Iterator

from repo_exp.language.prices import mentioned_prices
from repo_exp.rewards.facts import is_number, numbers_at, values_at
from repo_exp.rewards.rules.matching import plain
from repo_exp.types import Trajectory


def check(
    trajectory: Trajectory,
    *,
    low: str,
    high: str,
    low_factor: float = 1.0,
    high_factor: float = 1.0,
    ignore: list[str] | None = None,
    tolerance: float = 0.5,
) -> bool | None:
    """Broken by a price outside ``[low * low_factor, high * high_factor]``.

    Args:
        response: of the policy.
        low: path of the lower bound. With several tickets a price must fit one of them.
        high: path of the upper bound.
        low_factor: what the lower bound is multiplied by.
        high_factor: what the upper bound is multiplied by.
        ignore: paths of prices that are quoted and not proposed, such as a competitor's.
        tolerance: how far off a price may be, in currency units.
    """
    facts = trajectory.prompt.facts
    quoted = [price for path in ignore or [] for price in numbers_at(facts, path)]
    proposed = [
        amount.value
        for amount in mentioned_prices(plain(trajectory.response))
        if amount.kind == "price" and not any(abs(amount.value - price) <= tolerance for price in quoted)
    ]
    if not proposed:
        return False
    spans = [
        (least * low_factor - tolerance, most * high_factor + tolerance)
        for least, most in zip(values_at(facts, low), values_at(facts, high), strict=False)
        if is_number(least) and is_number(most)
    ]
    if not spans:
        return None
    return any(not any(least <= price <= most for least, most in spans) for price in proposed)


def faults(
    *,
    low: str,
    high: str,
    low_factor: float = 1.0,
    high_factor: float = 1.0,
    ignore: list[str] | None = None,
    tolerance: float = 0.5,
) -> Iterator[tuple[str, str]]:
    """Factors and tolerances below zero."""
    for name, value in (("low_factor", low_factor), ("high_factor", high_factor), ("tolerance", tolerance)):
        if value < 0:
            yield name, "is negative"
