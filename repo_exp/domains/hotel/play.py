"""Talks between the agent and the manager, and the situations on the way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from repo_exp.domains.hotel.expert import response
from repo_exp.domains.hotel.faults import CARELESS, commit
from repo_exp.domains.hotel.manager import PERSONAS, Manager, ManagerTurn
from repo_exp.domains.hotel.places import ROOMS, draw_hotel
from repo_exp.domains.hotel.situation import Said, Situation
from repo_exp.domains.hotel.sop import Move, Stage, stage_after
from repo_exp.domains.hotel.tickets import Ticket, draw_tickets
from repo_exp.types import Message, Split

MOST_TURNS = 10  # agent turns in one talk


@dataclass(frozen=True, slots=True)
class Talk:
    """A finished talk: the situation before each agent turn, and what the agent said in it."""

    persona: str
    situations: tuple[Situation, ...]
    said: tuple[Said, ...]


def opening(tickets: tuple[Ticket, ...]) -> Situation:
    """Return the situation before anybody has spoken."""
    nothing = (None,) * len(tickets)
    return Situation(tickets, Stage.OPEN, Move.NONE, offers=nothing, asked=nothing)


def after(situation: Situation, said: Said, turn: ManagerTurn) -> Situation:
    """Return the situation after the agent said something and the manager answered."""
    tickets = situation.tickets
    within = all(o is not None and o <= t.target_price for o, t in zip(turn.offers, tickets, strict=True))
    return Situation(
        tickets,
        stage_after(turn.move, all_within_target=within),
        turn.move,
        messages=(*situation.messages, Message("assistant", said.text), Message("user", turn.text)),
        own=(*situation.own, said),
        offers=turn.offers,
        asked=turn.asks,
        last_offer=turn.offer,
        mood=turn.mood,
        trouble=turn.trouble,
    )


def play(seed: str, split: Split, *, careless: float = 0.0, two_tickets: float = 0.15) -> Talk:
    """Play one talk of the expert with a random manager.

    Args:
        seed: fixes everything.
        split: whose hotels.
        careless: chance, for each agent turn, that it carries a fault.
        two_tickets: chance that two rooms are to be settled, where their prices have no more than three digits.
    """
    rng = random.Random(f"talk {seed}")
    hotel = draw_hotel(rng, split)
    # Two rooms with prices of four digits would make responses and prompts too long for a small model.
    two = rng.random() < two_tickets and max(map(hotel.price_of, ROOMS)) < 1000
    tickets = draw_tickets(rng, hotel, 2 if two else 1)
    manager = Manager(tickets, rng.choice(PERSONAS), seed)
    situation = opening(tickets)
    situations, turns = [], []
    for _ in range(MOST_TURNS):
        said = response(situation, rng)
        if rng.random() < careless:
            said = commit(rng.choice(CARELESS), situation, said, rng) or said
        situations.append(situation)
        turns.append(said)
        if situation.stage in {Stage.CLOSE_SUCCESS, Stage.CLOSE_FAIL}:
            break
        situation = after(situation, said, manager.respond(said.text))
    return Talk(manager.persona.name, tuple(situations), tuple(turns))


def stops(seed: str, split: Split, *, careless: float, two_tickets: float) -> Iterator[Situation]:
    """Yield situations without end: every talk is stopped before up to three of its agent turns, drawn at random."""
    number = 0
    while True:
        talk = play(f"{seed} {split} {number}", split, careless=careless, two_tickets=two_tickets)
        yield from random.Random(f"stop {seed} {split} {number}").sample(talk.situations, min(3, len(talk.situations)))
        number += 1
