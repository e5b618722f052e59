"""A talk as an environment: the agent speaks, the manager answers, until the talk is over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from repo_exp.domains.hotel.manager import PERSONAS, Manager
from repo_exp.domains.hotel.play import MOST_TURNS
from repo_exp.domains.hotel.sop import Move, Stage
from repo_exp.domains.hotel.tickets import Ticket, ticket_from_facts
from repo_exp.domains.interface import Step
from repo_exp.errors import DataError, Problem
from repo_exp.language.prices import mentioned_prices
from repo_exp.types import Message, Prompt

_ANGER = {"angry": 2, "annoyed": 1}  # by mood; 0 otherwise
_LAST_MOVE = {
    Stage.OPEN: Move.NONE,
    Stage.REASON: Move.WHO,
    Stage.QUOTE: Move.ASK_PRICE,
    Stage.PERSUADE: Move.REFUSE,
    Stage.COUNTER: Move.OFFER,
    Stage.CONFIRM: Move.VAGUE,
    Stage.FOLLOW_UP: Move.SILENT,
    Stage.CLOSE_SUCCESS: Move.CONFIRMED,
    Stage.CLOSE_FAIL: Move.END,
}


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a prompt leaves the talk."""

    tickets: tuple[Ticket, ...]
    offers: tuple[int | None, ...]
    stage: Stage
    mood: str
    complains: bool

    @property
    def last_move(self) -> Move:
        """What the hotel's last message did."""
        within = [o is not None and o <= t.target_price for o, t in zip(self.offers, self.tickets, strict=True)]
        if self.complains:
            return Move.COMPLAIN
        return Move.CONSENT if self.stage is Stage.CONFIRM and all(within) else _LAST_MOVE[self.stage]


class Dialogue:
    """The rest of a talk from the prompt on, until the manager ends or confirms it and the agent says good-bye.

    The manager is drawn from the seed, among those that can be in the prompt's mood. It goes on from what the prompt
    says of the talk so far: offers, complaints, what was asked.

    Outcome:
        agreed: did the manager confirm prices?
        success: did it confirm prices at or below every target?
        saving: how far prices came down, 1 at the target; the mean over tickets, 0 without an agreement.
        turns: of the agent, those in the prompt included; after ``MOST_TURNS`` the talk is over.

    Raises:
        DataError: the prompt's facts are not those of this domain.
    """

    def __init__(self, prompt: Prompt, *, seed: int) -> None:
        self.prompt = prompt
        start = _start(prompt)
        self._tickets, self._offers = start.tickets, start.offers
        rng = random.Random(f"environment {seed}")
        fitting = [each for each in PERSONAS if _mood(each.anger, each.words) == start.mood]
        self._manager = Manager(self._tickets, rng.choice(fitting or PERSONAS), f"environment {seed}")
        history = [message for message in prompt.messages if message.role != "system"]
        anger = _ANGER.get(start.mood, 0)
        self._manager.resume(history, offers=self._offers, last=start.last_move, anger=anger)
        self._turns = sum(message.role == "assistant" for message in history)
        self._closing = start.stage in {Stage.CLOSE_SUCCESS, Stage.CLOSE_FAIL}
        self._agreed = start.stage is Stage.CLOSE_SUCCESS

    def reset(self) -> tuple[Message, ...]:
        """Return the prompt's messages."""
        return self.prompt.messages

    def step(self, message: str) -> Step:
        """Let the manager answer, unless this was the agent's good-bye."""
        self._turns += 1
        if self._closing:
            return Step((), done=True, outcome=self._outcome())
        turn = self._manager.respond(message)
        self._offers, self._closing = turn.offers, turn.ended
        self._agreed = turn.move is Move.CONFIRMED
        over = self._turns >= MOST_TURNS
        return Step((Message("user", turn.text),), done=over, outcome=self._outcome() if over else {})

    def _outcome(self) -> dict[str, bool | float | int]:
        offers = [t.selling_price if o is None else o for o, t in zip(self._offers, self._tickets, strict=True)]
        pairs = list(zip(offers, self._tickets, strict=True))
        saved = [(t.selling_price - o) / max(1, t.selling_price - t.target_price) for o, t in pairs]
        return {
            "agreed": self._agreed,
            "success": self._agreed and all(offer <= ticket.target_price for offer, ticket in pairs),
            "saving": sum(saved) / len(saved) if self._agreed else 0.0,
            "turns": self._turns,
        }


def _mood(anger: int, words: str) -> str:
    return "angry" if anger >= 2 else "annoyed" if anger else "warm" if words == "warm" else "calm"


def _start(prompt: Prompt) -> _Start:
    facts = prompt.facts
    try:
        tickets = tuple(ticket_from_facts(each) for each in facts["tickets"])
        offers = _offers(prompt, tickets)
        return _Start(tickets, offers, Stage(facts["stage"]), str(facts["mood"]), bool(facts["hotel_complains"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        found = f"its facts do not describe a talk of this domain ({type(error).__name__}: {error})"
        problem = Problem(prompt.id, found, "prompts that this domain generated")
        raise DataError("the prompt belongs to another domain", [problem]) from error


def _offers(prompt: Prompt, tickets: Sequence[Ticket]) -> tuple[int | None, ...]:
    """Return the standing offer for each ticket: the last one is a fact, of two the message has both."""
    if not tickets:
        raise ValueError("no ticket")
    last = prompt.facts["last_offer"]
    if last is None:
        return (None,) * len(tickets)
    if len(tickets) == 1:
        return (round(last),)
    for message in reversed(prompt.messages):
        prices = [round(each.value) for each in mentioned_prices(message.content) if each.is_price]
        if message.role == "user" and len(prices) == 2 and round(last) in prices:
            return tuple(prices)
    first = tickets[0]
    return (round(last), None) if last > first.target_price else (first.target_price, round(last))
