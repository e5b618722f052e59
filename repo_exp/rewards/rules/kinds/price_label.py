"""The reply calls one price by the name of another: a net price is said to be the selling price."""

from __future__ import annotations

import regex

from repo_exp.language.prices import mentioned_prices
from repo_exp.rewards.facts import numbers_at
from repo_exp.rewards.rules.matching import clauses, compiled, pattern_faults
from repo_exp.types import Reply

# Where one statement about a price ends and the next begins ("four hundred and fifty" is one number).
_BREAKS = regex.compile(r",(?!\d)|(?<!hundred)(?<!thousand)\s+and\s+|\s(?:while|but|whereas|with)\s", regex.IGNORECASE)


def check(
    reply: Reply,
    *,
    labels: dict[str, list[str]],
    unless: list[str] | None = None,
    tolerance: float = 0.5,
) -> bool | None:
    """Broken by a number that stands beside a label and is the price of another label.

    Args:
        reply: what the policy said.
        labels: path of a price -> patterns of what it is called.
        unless: paths of further prices; a number that is one of them may only happen to be the other price.
        tolerance: how far off a number may be, in currency units.

    A statement is read only where its labels and its prices can be told apart: one of each, or as many
    prices as labels in the same order.
    """
    said = [pair for clause in clauses(reply.text) for part in _BREAKS.split(clause) for pair in _named(part, labels)]
    if not said:
        return False
    prices = {path: numbers_at(reply.context.facts, path) for path in labels}
    if sum(bool(values) for values in prices.values()) < 2:
        return None

    other_meanings = [price for path in unless or [] for price in numbers_at(reply.context.facts, path)]

    def is_called(path: str, value: float) -> bool:
        return any(abs(value - price) <= tolerance for price in prices[path])

    return any(
        not is_called(path, value) and any(is_called(other, value) for other in labels if other != path)
        for path, value in said
        if not any(abs(value - price) <= tolerance for price in other_meanings)
    )


def faults(
    *,
    labels: dict[str, list[str]],
    unless: list[str] | None = None,
    tolerance: float = 0.5,
) -> list[tuple[str, str]]:
    """Fewer than two labels, or patterns that cannot be used."""
    few = [("labels", "needs at least two prices, or there is nothing to mix up")] if len(labels) < 2 else []
    return few + [fault for patterns in labels.values() for fault in pattern_faults("labels", patterns)]


def _named(part: str, labels: dict[str, list[str]]) -> list[tuple[str, float]]:
    """Return (path, value) for every price that ``part`` gives a name."""
    found = sorted(
        (match.start(), path)
        for path, patterns in labels.items()
        for pattern in patterns
        for match in compiled(pattern).finditer(part, timeout=0.5)
    )
    values = [amount.value for amount in mentioned_prices(part) if amount.kind == "price"]
    if not found or len(found) != len(values):
        return []
    return [(path, value) for (_, path), value in zip(found, values, strict=True)]
