"""What the agent really said, as the hotel hears it: prices, evidence, kindness, pressure, promises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repo_exp.domains.hotel.tickets import Ticket
from repo_exp.language.prices import mentioned_prices

_SOOTHES = re.compile(r"\b(?:sorry|apologi[sz]e|i (?:do )?understand|i hear you|i see why|right to be|sounds hard|must be hard)\b", re.I)
_PRESSURE = re.compile(
    r"\b(?:delist\w*|remove your|take you off|last (?:warning|chance)|you (?:must|have to|'d better)|or else|or we(?:'ll| will)|"
    r"consequences|right now or|push you down|hide your)\b", re.I)
_RUDE = re.compile(r"\b(?:greedy|stupid|idiot\w*|ridiculous|nonsense|shut up|lazy|pathetic|dump|clueless|rip-?off|joke|whining|"
                   r"stubborn|waste of)\b", re.I)
_PROMISE = re.compile(r"\b(?:guarantee\w*|i promise|we promise|promise you|double your|triple your|fully booked|always be full|"
                      r"100 ?%|every room|number one|first place|never be empty|sell out)\b", re.I)
_REASON = re.compile(r"\b(?:search|rank\w*|compare\w*|views?|seen|show up|visible|guests|travell?ers|listing|sites)\b", re.I)
_AGREES = re.compile(r"\b(?:deal|agreed|works for us|fine with us|suits us|it is\b|we'll set|i'll put in|i'll list|we take|"
                     r"goes online|is agreed|i note|to confirm|guests pay|update|settles|put it in|show the new)", re.I)
_LEAVES = re.compile(r"\b(?:leave it (?:there|at)|won't press|your call|good ?bye|price stays|prices stay|nothing changes on|"
                     r"time\. )\b", re.I)
_LEAK = re.compile(r"\b(?:our|my|internal|the) (?:target|limit|maximum|max|budget|ceiling)\b|\bticket\b|\bwork order\b", re.I)


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
    prices = [a.value for a in mentioned_prices(text) if a.is_price]
    sources = {e.source.lower(): e.price for t in tickets for e in t.evidence}
    named = [price for source, price in sources.items() if source in text.lower()]
    known = {e.price for t in tickets for e in t.evidence}
    evidence = any(price in prices for price in named)
    false_evidence = bool(named) and not evidence and any(p not in {t.selling_price for t in tickets} for p in prices)
    asks: list[int | None] = []
    question = text[text.rfind(". ") + 1:] if "?" in text else text
    asked = [a.value for a in mentioned_prices(question) if a.is_price] or prices
    for index, ticket in enumerate(tickets):
        fitting = [p for p in asked if 0.5 * ticket.selling_price <= p < ticket.selling_price]
        wanted = [p for p in fitting if p not in known] or fitting
        if len(tickets) == 2 and len(wanted) >= 2:
            wanted = [wanted[min(index, len(wanted) - 1)]]
        asks.append(int(wanted[-1]) if wanted else None)
    return Reading(
        tuple(asks), evidence, false_evidence, bool(_REASON.search(text)), bool(_SOOTHES.search(text)),
        bool(_PRESSURE.search(text) or _RUDE.search(text)), bool(_PROMISE.search(text)), bool(_AGREES.search(text)),
        bool(_LEAVES.search(text)), bool(_LEAK.search(text)))
