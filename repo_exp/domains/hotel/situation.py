"""Where a talk stands when it is the agent's turn, and what has been said, with its known labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from repo_exp.domains.hotel.sop import Move, Stage
from repo_exp.domains.hotel.tickets import Ticket, system_message, ticket_facts
from repo_exp.types import Message, Prompt

LABELS = (
    "soothes",
    "gives_reason",
    "right_step",
    "over_promises",
    "rude",
    "assumes_consent",
    "misses_acceptance",
    "repeats",
)

_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|'[a-z]+|[0-9]|[^\sA-Za-z0-9]")
_LONG = re.compile(r"[A-Za-z][a-z]{8,}")


def token_estimate(text: str) -> int:
    """Estimate how many tokens a text costs: digits and short words one each, long words and "StayHop" two.

    A character of another script counts as two.
    """
    foreign = 0 if text.isascii() else sum(c > "\x7f" for c in text)
    return len(_PIECE.findall(text)) + len(_LONG.findall(text)) + foreign


@dataclass(frozen=True, slots=True)
class Said:
    """One agent turn: the words, the dialogue act behind them and the known answer to each rubric question."""

    text: str
    act: str
    labels: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Situation:
    """The state that a reply answers.

    Attributes:
        messages: everything said so far, agent and hotel in turn, without the system message.
        own: the agent's turns among them.
        offers: the hotel's latest offer for each ticket.
        asked: the price that the agent last asked for each ticket, None before it asked.
    """

    tickets: tuple[Ticket, ...]
    stage: Stage
    move: Move
    messages: tuple[Message, ...] = ()
    own: tuple[Said, ...] = ()
    offers: tuple[int | None, ...] = (None,)
    asked: tuple[int | None, ...] = (None,)
    last_offer: float | None = None
    mood: str = "calm"
    trouble: str = ""

    @property
    def complains(self) -> bool:
        """Does the hotel's last message complain?"""
        return self.move is Move.COMPLAIN

    @property
    def acceptable(self) -> bool:
        """Is there an offer at or below the target for every ticket, just made?"""
        return self.move in {Move.OFFER, Move.CONSENT} and self.stage is Stage.CONFIRM

    def within_target(self, index: int) -> bool:
        """Has the hotel offered the target or less for this ticket?"""
        offer = self.offers[index]
        return offer is not None and offer <= self.tickets[index].target_price

    def prompt(self, name: str, *, window: int = 3, budget: int = 104, most: int = 140) -> Prompt:
        """Return what the policy sees (system message and the last turns) and what the rules may look up.

        Args:
            name: the context's id.
            window: how many of the last messages are kept, at most.
            budget: estimated tokens above which only the agent's last turn and the hotel's answer are kept.
            most: estimated tokens above which the hotel's answer alone is kept.
        """
        system = Message("system", system_message(self.tickets))
        kept = list(self.messages[-window:])
        cost = [token_estimate(m.content) + 5 for m in kept]
        total = token_estimate(system.content) + 10 + sum(cost)
        while (len(kept) > 2 and total > budget) or (len(kept) > 1 and total > most):
            total -= cost.pop(0)
            kept.pop(0)
        return Prompt(
            name,
            (system, *kept),
            {
                "tickets": [ticket_facts(t) for t in self.tickets],
                "stage": self.stage.value,
                "last_offer": self.last_offer,
                "hotel_complains": self.complains,
                "hotel_silent": self.move is Move.SILENT,
                "mood": self.mood,
                "language": "en",
            },
        )
