"""The response names a price that is neither a fact nor in the conversation."""

from __future__ import annotations

from collections.abc import Iterator

from repo_exp.language.prices import mentioned_prices
from repo_exp.rewards.facts import is_number, numbers_at, values_at
from repo_exp.rewards.rules.matching import plain
from repo_exp.types import Trajectory


def check(
    trajectory: Trajectory,
    *,
    facts: list[str],
    allow_between: list[str] | None = None,
    conversation: bool = True,
    tolerance: float = 0.5,
) -> bool | None:
    """Broken by a price that is neither a fact nor in the conversation.

    Args:
        response: of the policy.
        facts: paths of the prices that may be named.
        allow_between: two paths; a price between them (a counter-offer) may be named as well.
        conversation: also allow the prices that either side has named before.
        tolerance: how far off a price may be, in currency units.
    """
    named = [amount.value for amount in mentioned_prices(plain(trajectory.response)) if amount.kind == "price"]
    stated = [price for path in facts for price in numbers_at(trajectory.prompt.facts, path)]
    mentioned = []
    if conversation and named:
        turns = [message.content for message in trajectory.prompt.messages if message.role != "system"]
        # Terse people write "king room 338", which may be a price or the number of a room: the doubt is the agent's.
        mentioned = [
            amount.value
            for turn in turns
            for amount in mentioned_prices(plain(turn))
            if amount.kind in ("price", "count")
        ]
    spans = [(price - tolerance, price + tolerance) for price in stated + mentioned]
    if allow_between:
        low, high = (values_at(trajectory.prompt.facts, path) for path in allow_between)
        spans += [
            (min(pair) - tolerance, max(pair) + tolerance)
            for pair in zip(low, high, strict=False)
            if all(map(is_number, pair))
        ]
    invented = [price for price in named if not any(low <= price <= high for low, high in spans)]
    if invented and not stated:
        return None
    return bool(invented)


def faults(
    *,
    facts: list[str],
    allow_between: list[str] | None = None,
    conversation: bool = True,
    tolerance: float = 0.5,
) -> Iterator[tuple[str, str]]:
    """No facts to look in, or a span that has not two ends."""
    if not facts:
        yield "facts", "names no path"
    if allow_between is not None and len(allow_between) != 2:
        yield "allow_between", "needs two paths: the lowest and the highest price"
    if tolerance < 0:
        yield "tolerance", "is negative"
