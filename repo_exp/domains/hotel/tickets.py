"""The ticket: one room whose price shall come down, and how the agent and the rules see it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repo_exp.domains.hotel.places import ROOMS, Hotel

PLATFORMS = (
    "StayHop",
    "Roomly",
    "TripNest",
    "BedFinder",
    "InnSpot",
    "HotelJet",
    "SleepWell",
    "CityBeds",
    "GoRoom",
    "NightOwl",
)
OWN_SITE = "own site"  # the hotel's own web page undercuts the platform
_COMMISSIONS = (8, 10, 12, 15, 18, 20)

ROLE = "Ask the hotel for a lower price. Be kind, give reasons, accept the target, keep it secret."


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the same room is cheaper."""

    source: str
    price: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the agent knows of one room. ``target_price`` must never be told as such.

    ``selling_price`` is what the traveller sees, ``net_price`` = selling price less commission what the hotel gets.
    """

    hotel: str
    city: str
    stars: int
    rating: float
    facilities: tuple[str, ...]
    room: str
    currency: str
    selling_price: int
    net_price: int
    commission_percent: int
    evidence: tuple[Evidence, ...]
    target_price: int

    @property
    def best(self) -> Evidence:
        """The strongest evidence: the lowest price elsewhere."""
        return min(self.evidence, key=lambda e: e.price)


def _tidy_price(rng: random.Random, price: float) -> int:
    """Round a price as people set prices: most often to a 0, 5, 8 or 9 at the end."""
    whole = max(30, round(price))
    if whole >= 1000:
        whole = 10 * round(whole / 10)
    elif rng.random() < 0.6:
        whole = 10 * (whole // 10) + rng.choice((0, 5, 8, 9))
    return whole


def draw_tickets(rng: random.Random, hotel: Hotel, count: int) -> tuple[Ticket, ...]:
    """Draw ``count`` tickets of one hotel, for different rooms."""
    commission = rng.choice(_COMMISSIONS)
    tickets = []
    for room in rng.sample(ROOMS, count):
        selling = _tidy_price(rng, hotel.price_of(room))
        sources = rng.sample(PLATFORMS, 2)
        if rng.random() < 0.15:
            sources[0] = OWN_SITE
        evidence = []
        for source in sources[: 2 if count == 1 and rng.random() < 0.15 else 1]:
            price = _tidy_price(rng, selling * rng.uniform(0.82, 0.94))
            evidence.append(Evidence(source, min(price, selling - 3)))
        best = min(e.price for e in evidence)
        target = best + round((selling - best) * (0.0 if rng.random() < 0.3 else rng.uniform(0.05, 0.5)))
        if target >= 1000:
            target = max(best, 10 * (target // 10))
        tickets.append(
            Ticket(
                hotel.name,
                hotel.city,
                hotel.stars,
                hotel.rating,
                hotel.facilities,
                room,
                hotel.currency,
                selling,
                round(selling * (1 - commission / 100)),
                commission,
                tuple(evidence),
                target,
            )
        )
    return tuple(tickets)


def system_message(tickets: Sequence[Ticket]) -> str:
    """Return what the agent is told: its role in a line, and a line a ticket."""
    first = tickets[0]
    lines = [ROLE]
    for ticket in tickets:
        place = f"{ticket.hotel}, {ticket.city}, {ticket.room}" if ticket is first else ticket.room
        cheaper = ", ".join(f"{e.source} {e.price}" for e in ticket.evidence)
        net = f", net {ticket.net_price} ({ticket.commission_percent}%)" if len(tickets) == 1 else ""
        lines.append(
            f"{place}: selling {ticket.selling_price} {ticket.currency}{net}, {cheaper}, target {ticket.target_price}"
        )
    return "\n".join(lines)


def ticket_facts(ticket: Ticket) -> Mapping[str, Any]:
    """Return a ticket as the JSON that rules and judge look up."""
    return {
        "hotel": ticket.hotel,
        "city": ticket.city,
        "room": ticket.room,
        "currency": ticket.currency,
        "stars": ticket.stars,
        "rating": ticket.rating,
        "facilities": list(ticket.facilities),
        "selling_price": ticket.selling_price,
        "net_price": ticket.net_price,
        "commission_percent": ticket.commission_percent,
        "target_price": ticket.target_price,
        "evidence": [{"source": e.source, "price": e.price} for e in ticket.evidence],
    }


def ticket_from_facts(facts: Mapping[str, Any]) -> Ticket:
    """Return the ticket that :func:`ticket_facts` wrote.

    Raises:
        KeyError, TypeError: it did not.
    """
    evidence = tuple(Evidence(each["source"], each["price"]) for each in facts["evidence"])
    return Ticket(**{**facts, "facilities": tuple(facts["facilities"]), "evidence": evidence})
