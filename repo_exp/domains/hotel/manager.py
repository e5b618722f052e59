"""The simulated hotel manager: reserve prices, a concession curve, patience, a temper, and ears.

It hears what the agent really said (``reading``): evidence and reasons move it, kindness calms it, pressure and broken
promises end the talk, and a leaked target stiffens it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from repo_exp.domains.hotel.grammar import expand
from repo_exp.domains.hotel.manager_words import (
    CURT,
    MANAGER,
    MAY_BE_MISTYPED,
    SILENCE,
    TROUBLES,
    WARM,
    in_words,
)
from repo_exp.domains.hotel.reading import Reading, read
from repo_exp.domains.hotel.sop import Move
from repo_exp.domains.hotel.tickets import Ticket
from repo_exp.types import Message


@dataclass(frozen=True, slots=True)
class Persona:
    """How a manager is. Chances are per turn; ``ease`` is how fast it concedes, ``haggle`` bends the curve."""

    name: str
    ease: float
    haggle: float
    patience: int
    trust: float
    anger: int = 0
    first: tuple[Move, ...] = ()  # how it tends to react to being addressed
    complains: float = 0.0
    silent: float = 0.05
    off_topic: float = 0.03
    vague: float = 0.08
    confused: float = 0.04
    colloquial: float = 0.35
    typos: float = 0.0
    words: str = ""


PERSONAS: tuple[Persona, ...] = (
    Persona("cooperative", 0.55, 0.8, 6, 0.9, first=(Move.OFFER, Move.ASK_PRICE, Move.CONSENT), words="warm"),
    Persona(
        "busy", 0.40, 1.0, 3, 0.7, first=(Move.ASK_PRICE, Move.OFFER, Move.WHO), silent=0.2, typos=0.3, words="curt"
    ),
    Persona("sceptical", 0.30, 1.2, 5, 0.35, first=(Move.WHO, Move.REFUSE), complains=0.1, confused=0.1),
    Persona("angry", 0.25, 1.3, 4, 0.5, anger=2, first=(Move.COMPLAIN, Move.COMPLAIN), complains=0.4),
    Persona("silent", 0.35, 1.0, 5, 0.6, first=(Move.SILENT, Move.VAGUE), silent=0.45, vague=0.15, words="curt"),
    Persona("off_topic", 0.40, 1.0, 6, 0.7, first=(Move.OFF_TOPIC, Move.WHO), off_topic=0.4, words="warm"),
    Persona("haggler", 0.35, 1.8, 7, 0.6, first=(Move.REFUSE, Move.OFFER), colloquial=0.7),
    Persona("confused", 0.40, 1.0, 6, 0.7, first=(Move.ASK_KIND, Move.WHO), confused=0.4, vague=0.12, typos=0.35),
    Persona("proud", 0.20, 1.5, 4, 0.5, first=(Move.REFUSE, Move.REFUSE), complains=0.08),
    Persona("undecided", 0.35, 1.1, 6, 0.7, first=(Move.VAGUE, Move.ASK_PRICE), vague=0.35),
    Persona("tired", 0.40, 1.0, 4, 0.5, anger=1, first=(Move.COMPLAIN, Move.WHO), complains=0.25, colloquial=0.5),
)


@dataclass(frozen=True, slots=True)
class ManagerTurn:
    """What the manager answered.

    Attributes:
        text: the words; "(no reply)" when it stays silent.
        offer: its latest offered selling price for the first room still open, None before the first offer.
        mood: "warm", "calm", "annoyed" or "angry".
        ended: the manager says nothing more after this.
        move: what the message does.
        offers: the latest offer for every room, in ticket order.
        asks: the price it has heard the agent ask for, room by room; None before it heard one.
        trouble: what it complains of, as the agent may name it; empty otherwise.
    """

    text: str
    offer: float | None
    mood: str
    ended: bool
    move: Move
    offers: tuple[int | None, ...]
    asks: tuple[int | None, ...]
    trouble: str = ""


@dataclass
class Manager:
    """One manager in one talk. Deterministic given its seed and what it hears."""

    tickets: Sequence[Ticket]
    persona: Persona
    seed: str
    _offers: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"manager {self.seed}")
        rng = self._rng
        # A bit more than half of the managers can go as low as the target.
        self._reserves = [
            min(
                round(t.selling_price * 0.98),
                max(round(t.selling_price * 0.6), round(t.target_price * rng.uniform(0.88, 1.06))),
            )
            for t in self.tickets
        ]
        self._offers = [None] * len(self.tickets)
        self._conceded = 0.0  # 0 = selling price, 1 = reserve
        self._anger = self.persona.anger
        self._patience = self.persona.patience
        self._trust = self.persona.trust
        self._promises = 0
        self._turn = 0
        self._ended = False
        self._last = Move.NONE
        self._heard: list[str] = []
        self._said: set[str] = set()
        self._asks: list[int | None] = [None] * len(self.tickets)

    @property
    def mood(self) -> str:
        """The temper in a word."""
        if self._anger >= 2:
            return "angry"
        if self._anger == 1:
            return "annoyed"
        return "warm" if self.persona.words == "warm" else "calm"

    def resume(self, messages: Sequence[Message], *, offers: Sequence[int | None], last: Move, anger: int) -> None:
        """Go on from the middle of a talk, as far as its messages tell: what was offered, asked and said.

        How far the manager has conceded follows from its standing offer, by the inverse of the concession curve.
        """
        for message in messages:
            if message.role == "assistant":
                self._turn += 1
                self._patience -= 1
                self._heard.append(" ".join(message.content.lower().split()))
                asks = read(message.content, self.tickets).asks
                self._asks = [old if new is None else new for new, old in zip(asks, self._asks, strict=True)]
            else:
                self._said.add(message.content.lower())
        self._offers, self._last, self._anger = list(offers), last, anger
        ticket, reserve, offer = self.tickets[0], self._reserves[0], self._offers[0]
        if offer is not None:
            share = (ticket.selling_price - offer) / max(1, ticket.selling_price - reserve)
            self._conceded = min(1.0, max(0.0, share)) ** (1 / self.persona.haggle)

    def respond(self, agent_text: str) -> ManagerTurn:
        """Answer one agent turn."""
        self._turn += 1
        if self._ended:
            return self._say(Move.SILENT)
        heard = read(agent_text, self.tickets)
        for index, ask in enumerate(heard.asks):
            if ask is not None:
                self._asks[index] = ask
        end = self._feel(agent_text, heard)
        if end:
            return self._end(end)
        return self._answer(heard)

    # --- what a turn does to it -----------------------------------------------------------------------------------

    def _feel(self, text: str, heard: Reading) -> str:
        """Let the words work: on temper, trust and readiness. Return how the talk ends, if it does."""
        rng = self._rng
        if heard.pressure:
            self._anger += 2
            if self._anger > 3 or rng.random() < 0.6:
                return "end_angry"
        if heard.promise:
            self._promises += 1
            self._trust *= 0.5
            if self._promises >= 2 or (self._last is Move.COMPLAIN and rng.random() < 0.5):
                return "end_promise"
        said = " ".join(text.lower().split())
        if said in self._heard:
            self._patience -= 2
        self._heard.append(said)
        if heard.soothes and self._anger:
            self._anger -= 1
        elif self._last is Move.COMPLAIN:
            self._anger = min(3, self._anger + 1)  # a complaint that nobody took up
            self._patience -= 1
        if heard.false_evidence:
            self._trust *= 0.4
        step = 0.25 * self.persona.ease
        if heard.evidence:
            step += 0.9 * self.persona.ease * self._trust
        if heard.reason:
            step += 0.35 * self.persona.ease
        if self._anger:
            step *= 0.5
        if heard.leaks:
            step = 0.0
            self._reserves = [max(r, t.target_price) for r, t in zip(self._reserves, self.tickets, strict=True)]
        self._conceded = min(1.0, self._conceded + step)
        self._patience -= 1
        return "end" if self._patience < 0 and not self._takes_the_offer(heard) else ""

    def _takes_the_offer(self, heard: Reading) -> bool:
        """Does the agent agree, right after an offer?"""
        return heard.agrees and self._offers[0] is not None and self._last in {Move.OFFER, Move.CONSENT}

    def _willing(self) -> list[int]:
        """Return the lowest price it would take now, room by room: the concession curve."""
        return [
            round(t.selling_price - (t.selling_price - r) * self._conceded**self.persona.haggle)
            for t, r in zip(self.tickets, self._reserves, strict=True)
        ]

    # --- what it says ---------------------------------------------------------------------------------------------

    def _answer(self, heard: Reading) -> ManagerTurn:
        rng, persona = self._rng, self.persona
        if heard.leaves and not heard.agrees:
            return self._end("end")
        if self._takes_the_offer(heard):
            if all(o is None or a is None or abs(a - o) < 1 for a, o in zip(heard.asks, self._offers, strict=True)):
                self._ended = True
                return self._say(Move.CONFIRMED)
            return self._say(Move.OFFER, start="correct_price")
        if rng.random() < persona.silent:
            return self._say(Move.SILENT)
        if heard.false_evidence and rng.random() < 0.7:
            return self._say(Move.REFUSE, start="refuse_disbelief")
        if self._turn == 1 and rng.random() < 0.8:
            move = rng.choice(persona.first)
            if move not in {Move.OFFER, Move.CONSENT}:
                return self._say(move)
            self._conceded = max(self._conceded, 0.35)
        for move, chance in (
            (Move.COMPLAIN, persona.complains if self._anger else persona.complains / 3),
            (Move.OFF_TOPIC, persona.off_topic),
            (Move.ASK_KIND, persona.confused),
            (Move.VAGUE, persona.vague),
        ):
            if move is not self._last and rng.random() < chance:
                return self._say(move)
        if self._anger >= 2:
            return self._say(Move.COMPLAIN if rng.random() < 0.6 else Move.REFUSE)
        return self._bargain()

    def _bargain(self) -> ManagerTurn:
        rng = self._rng
        willing = self._willing()
        if all(a is not None and a >= w for a, w in zip(self._asks, willing, strict=True)):
            self._offers = list(self._asks)
            return self._say(Move.CONSENT)
        new = [w if o is None else min(w, o) for w, o in zip(willing, self._offers, strict=True)]
        moved = any(
            (t.selling_price if o is None else o) - n >= max(2, 0.01 * t.selling_price)
            for n, o, t in zip(new, self._offers, self.tickets, strict=True)
        )
        if not moved or self._conceded < 0.15 or rng.random() < 0.15:
            if all(o is not None for o in self._offers) and self._conceded >= 0.95:
                return self._end("end") if rng.random() < 0.4 else self._say(Move.REFUSE)
            return self._say(Move.REFUSE)
        self._offers = [self._settle(n, t) for n, t in zip(new, self.tickets, strict=True)]
        return self._say(Move.OFFER)

    def _settle(self, price: int, ticket: Ticket) -> int:
        """Round an offer upwards as people do, but keep it an offer."""
        grain = 10 if ticket.selling_price >= 1000 else 5 if ticket.selling_price >= 200 else 1
        rounded = -(-price // grain) * grain if self._rng.random() < 0.7 else price
        return rounded if rounded < ticket.selling_price else price

    def _end(self, start: str) -> ManagerTurn:
        self._ended = True
        return self._say(Move.END, start=start)

    def _say(self, move: Move, start: str = "") -> ManagerTurn:
        """Put a move into words; an offer in relative words may settle the number."""
        rng, trouble = self._rng, ""
        rules = {**MANAGER, **(WARM if self.mood == "warm" else CURT if self.persona.words == "curt" else {})}
        facts: dict[str, str] = {}
        if move is Move.SILENT:
            self._last = move
            return ManagerTurn(
                SILENCE, self._first_open(), self.mood, self._ended, move, tuple(self._offers), tuple(self._asks)
            )
        if move is Move.COMPLAIN:
            trouble = rng.choice(list(TROUBLES))
            facts["gripe"] = rng.choice(TROUBLES[trouble])
            self._anger = max(1, self._anger)
        start = start or move.value
        relative = rng.random() < 0.4 * self.persona.colloquial
        if start == "offer" and len(self.tickets) == 1 and relative:
            facts["change"] = self._change()
            if facts["change"]:
                start = "offer_off"
        if move in {Move.OFFER, Move.CONSENT}:
            facts["price"] = self._price(0)
            facts["room"] = self.tickets[0].room
            if len(self.tickets) == 2:
                facts["price2"], facts["room2"] = self._price(1), self.tickets[1].room
                start = "offer_two" if move is Move.OFFER else "consent_two"
        for _ in range(4):
            text, _ = expand(rng, rules, start, facts)
            if text.lower() not in self._said:
                break
        self._said.add(text.lower())
        if rng.random() < 0.35:
            text = text[0].lower() + text[1:] if not text.startswith("I") else text
        if rng.random() < self.persona.typos:
            text = self._mistype(text)
        self._last = move
        return ManagerTurn(
            text, self._first_open(), self.mood, self._ended, move, tuple(self._offers), tuple(self._asks), trouble
        )

    def _change(self) -> str:
        """Word the offer as a change of the selling price, moving it to one that can be said; "" if there is none."""
        ticket, offer = self.tickets[0], self._offer(0)
        off = ticket.selling_price - offer
        if self._rng.random() < 0.5:
            percent = round(100 * off / ticket.selling_price)
            if 3 <= percent <= 40:
                self._offers[0] = round(ticket.selling_price * (1 - percent / 100))
                return self._rng.choice((f"{percent}%", f"{percent}%", f"{in_words(percent, colloquial=True)} percent"))
            return ""
        off = 5 * (off // 5) if off >= 10 else off
        if off < 2:
            return ""
        self._offers[0] = ticket.selling_price - off
        return in_words(off, colloquial=False) if off < 100 and self._rng.random() < 0.6 else f"{off} {ticket.currency}"

    def _offer(self, index: int) -> int:
        offer = self._offers[index]
        if offer is None:
            raise ValueError(f"no offer for ticket {index} yet")
        return offer

    def _price(self, index: int) -> str:
        offer, rng = self._offer(index), self._rng
        if rng.random() < self.persona.colloquial and 100 < offer < 10_000:
            return in_words(offer, colloquial=rng.random() < 0.8)
        return rng.choice((str(offer), str(offer), f"{offer} {self.tickets[index].currency}"))

    def _mistype(self, text: str) -> str:
        """Swap two letters inside one of the longer words, never in a number word."""
        words = text.split(" ")
        long = [i for i, w in enumerate(words) if w.isalpha() and len(w) > 4 and w.lower() in MAY_BE_MISTYPED]
        if not long:
            return text
        at = self._rng.choice(long)
        cut = self._rng.randrange(1, len(words[at]) - 2)
        word = words[at]
        words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
        return " ".join(words)

    def _first_open(self) -> float | None:
        for offer, ticket in zip(self._offers, self.tickets, strict=True):
            if offer is None or offer > ticket.target_price:
                return None if offer is None else float(offer)
        return None if self._offers[0] is None else float(self._offers[0])
