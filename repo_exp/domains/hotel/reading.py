"""What the agent really said, as the hotel hears it: prices, evidence, kindness, pressure, promises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repo_exp.domains.hotel.tickets import Ticket
from repo_exp.language.prices import mentioned_prices

_NO_WORD = re.compile(r"[^a-z0-9%']+")

# Phrases that start at a word; one that ends in a space ends there too.
_SOOTHES = (
    " sorry",
    " apolog",
    " i understand",
    " i do understand",
    " i hear you",
    " i see why",
    " right to be",
    " sounds hard",
    " must be hard",
)
_PRESSURE = (
    " delist",
    " remove your",
    " take you off",
    " last warning",
    " last chance",
    " you must ",
    " you have to ",
    " you'd better",
    " or else ",
    " or we will ",
    " or we'll ",
    " consequences",
    " push you down",
    " hide your",
    " greedy",
    " stupid",
    " idiot",
    " ridiculous",
    " nonsense",
    " shut up",
    " lazy",
    " pathetic",
    " dump ",
    " clueless",
    " rip off",
    " joke",
    " whining",
    " stubborn",
    " waste of",
    " fool",
    " grow up",
    " asleep",
    " nobody cares",
    " your own fault",
)
_PROMISE = (
    " guarantee",
    " i promise",
    " we promise",
    " promise you",
    " double your",
    " will double",
    " triple",
    " fully booked",
    " always be full",
    " 100% ",
    " number one",
    " first place",
    " never be empty",
    " empty room again",
    " sell out",
)
_REASON = (
    " search",
    " rank",
    " compar",
    " view",
    " seen ",
    " show up",
    " visible",
    " guests ",
    " travel",
    " listing ",
    " sites ",
)
_AGREES = (
    " deal ",
    " agreed",
    " works for us",
    " fine with us",
    " suits us",
    " it is ",
    " we'll set",
    " i'll put in",
    " i'll list",
    " we take ",
    " goes online",
    " go online",
    " i note",
    " to confirm",
    " guests pay",
    " i'll set ",
    " done ",
    " perfect ",
    " correct ",
    " right ",
    " what you meant",
    " commission stays",
)
_LEAVES = (
    " leave it there",
    " leave it at",
    " won't press",
    " your call",
    " good bye",
    " goodbye",
    " price stays",
    " prices stay",
    " nothing changes on",
    " for your time",
)
_LEAK = (
    *tuple(
        f" {whose} {what}"
        for whose in ("our", "my", "internal", "the")
        for what in ("target", "limit", "maximum", "budget", "ceiling")
    ),
    " ticket",
    " work order",
    " target price",
    " internal",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One agent turn as heard. ``asks`` has a price (or None) a ticket."""

    asks: tuple[int | None, ...]
    evidence: bool
    false_evidence: bool
    reason: bool
    soothes: bool
    pressure: bool
    promise: bool
    agrees: bool
    leaves: bool
    leaks: bool


def read(text: str, tickets: Sequence[Ticket]) -> Reading:
    """Read one agent turn. Any text will do."""
    text = text[:1000]
    plain = " " + _NO_WORD.sub(" ", text.lower().replace("\u2019", "'")) + " "

    def says(phrases: tuple[str, ...]) -> bool:
        return any(phrase in plain for phrase in phrases)

    amounts = [a for a in mentioned_prices(text) if a.is_price]
    prices = [a.value for a in amounts]
    sources = {e.source.lower(): e.price for t in tickets for e in t.evidence}
    named = [price for source, price in sources.items() if source in text.lower()]
    known = {e.price for t in tickets for e in t.evidence}
    evidence = any(price in prices for price in named)
    false_evidence = bool(named) and not evidence and any(p not in {t.selling_price for t in tickets} for p in prices)
    asks: list[int | None] = []
    # The price that is asked for stands in the question; the sentences before it may cite others.
    question = text.rfind(". ", 0, text.rfind("?")) if "?" in text else 0
    following = text.find(". ", text.rfind("?")) if "?" in text else -1
    end = len(text) if following < 0 else text.rfind("?") + 1
    asked = [a.value for a in amounts if question <= a.start < end] or prices
    for index, ticket in enumerate(tickets):
        candidates = asked[index : index + 1] if len(tickets) == 2 and len(asked) >= 2 else asked
        fitting = [p for p in candidates if 0.5 * ticket.selling_price <= p < ticket.selling_price]
        wanted = [p for p in fitting if p not in known] or fitting
        asks.append(int(wanted[-1]) if wanted else None)
    return Reading(
        tuple(asks),
        evidence,
        false_evidence,
        reason=says(_REASON),
        soothes=says(_SOOTHES),
        pressure=says(_PRESSURE),
        promise=says(_PROMISE),
        agrees=says(_AGREES),
        leaves=says(_LEAVES),
        leaks=says(_LEAK),
    )
