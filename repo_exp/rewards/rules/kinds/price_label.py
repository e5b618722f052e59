"""The response confuses two prices: a net price is called the selling price."""

from __future__ import annotations

import regex

from repo_exp.language.prices import mentioned_prices
from repo_exp.rewards.facts import is_number, numbers_at, values_at
from repo_exp.rewards.rules.matching import SECONDS, clauses, compiled, pattern_faults
from repo_exp.types import Trajectory

# Where one statement about a price ends and the next begins ("four hundred and fifty" is one number).
_BREAKS = regex.compile(r",(?!\d)|(?<!hundred)(?<!thousand)\s+and\s+|\s(?:while|but|whereas|with)\s", regex.IGNORECASE)


def check(
    trajectory: Trajectory,
    *,
    labels: dict[str, list[str]],
    also: dict[str, list[str]] | None = None,
    between: dict[str, list[str]] | None = None,
    tolerance: float = 0.5,
) -> bool | None:
    """Broken by a number that stands beside a label and belongs to another label, and not to its own.

    Args:
        response: of the policy.
        labels: path of a price -> patterns of what it is called.
        also: label -> paths of further prices that belong to it (a target is a selling price).
        between: label -> two paths; a number between them belongs to it too, unless it is exactly another's price.
        tolerance: how far off a number may be, in currency units.

    A statement is read only where its labels and its prices can be told apart: one of each, or as many
    prices as labels in the same order.
    """
    named = [
        pair
        for clause in clauses(trajectory.response)
        for part in _BREAKS.split(clause)
        for pair in _named(part, labels)
    ]
    if not named:
        return False
    facts = trajectory.prompt.facts
    prices = {path: numbers_at(facts, path) for path in labels}
    if sum(bool(values) for values in prices.values()) < 2:
        return None
    for path, others in (also or {}).items():
        prices[path] += [price for other in others for price in numbers_at(facts, other)]
    spans = {
        path: [
            span
            for span in zip(values_at(facts, low), values_at(facts, high), strict=False)
            if all(map(is_number, span))
        ]
        for path, (low, high) in (between or {}).items()
    }

    def is_price(path: str, value: float) -> bool:
        return any(abs(value - price) <= tolerance for price in prices[path])

    def belongs(path: str, value: float) -> bool:
        return is_price(path, value) or any(
            min(span) - tolerance <= value <= max(span) + tolerance for span in spans.get(path, ())
        )

    return any(
        not is_price(path, value) and any(belongs(other, value) for other in labels if other != path)
        for path, value in named
    )


def faults(
    *,
    labels: dict[str, list[str]],
    also: dict[str, list[str]] | None = None,
    between: dict[str, list[str]] | None = None,
    tolerance: float = 0.5,
) -> list[tuple[str, str]]:
    """Fewer than two labels, unusable patterns, an option for an unknown label, or a span without two ends."""
    found = [("labels", "needs at least two prices, or there is nothing to mix up")] if len(labels) < 2 else []
    for option, entries in (("also", also or {}), ("between", between or {})):
        found += [(option, f"'{path}' is none of the labels") for path in entries if path not in labels]
    found += [("between", f"'{path}' needs two paths") for path, ends in (between or {}).items() if len(ends) != 2]
    return found + [fault for patterns in labels.values() for fault in pattern_faults("labels", patterns)]


def _named(part: str, labels: dict[str, list[str]]) -> list[tuple[str, float]]:
    """Return (path, value) for every price that ``part`` gives a name."""
    found = sorted(
        (match.start(), path)
        for path, patterns in labels.items()
        for pattern in patterns
        for match in compiled(pattern).finditer(part, timeout=SECONDS)
    )
    values = [amount.value for amount in mentioned_prices(part) if amount.kind == "price"]
    if len(values) == 1 and len({path for _, path in found}) == 1:
        found = found[:1]  # "would you take 420 net, after commission"
    if not found or len(found) != len(values):
        return []
    return [(path, value) for (_, path), value in zip(found, values, strict=True)]
