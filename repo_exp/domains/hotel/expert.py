"""The agent that keeps to the SOP: what it does in a situation, and in which words."""

from __future__ import annotations

import random
from collections.abc import Mapping

from repo_exp.domains.hotel.expert_words import ONE_TICKET, TWO_TICKETS
from repo_exp.domains.hotel.grammar import Rules, expand
from repo_exp.domains.hotel.situation import LABELS, Said, Situation, token_estimate
from repo_exp.domains.hotel.sop import Move
from repo_exp.domains.hotel.tickets import OWN_SITE, Ticket

ACTS = (
    "open",
    "give_reason",
    "quote",
    "clarify",
    "persuade",
    "soothe",
    "off_topic",
    "counter",
    "split",
    "accept",
    "confirm",
    "pin_down",
    "follow_up",
    "close_success",
    "close_fail",
)

_ACT = {
    Move.NONE: "open",
    Move.WHO: "give_reason",
    Move.ASK_PRICE: "quote",
    Move.ASK_KIND: "clarify",
    Move.REFUSE: "persuade",
    Move.COMPLAIN: "soothe",
    Move.OFF_TOPIC: "off_topic",
    Move.VAGUE: "pin_down",
    Move.SILENT: "follow_up",
    Move.CONFIRMED: "close_success",
    Move.END: "close_fail",
}
_SAME_ASK = frozenset({"clarify", "pin_down", "follow_up"})  # they speak of the price that was asked before
_LONGEST = 25  # estimated tokens, for one ticket
_LONGEST_OF_TWO = 36
_SHARED_WORDS = 5  # a run of so many words taken from an earlier turn counts as repeating oneself


def rules_for(situation: Situation) -> Rules:
    """Return the words for one ticket, or for two."""
    return ONE_TICKET if len(situation.tickets) == 1 else TWO_TICKETS


def act_for(situation: Situation, rng: random.Random) -> str:
    """Return what the SOP calls for."""
    if situation.move not in {Move.OFFER, Move.CONSENT}:
        return _ACT[situation.move]
    if situation.acceptable:
        likely = 0.25 if situation.move is Move.OFFER else 0.6
        return "confirm" if rng.random() < likely else "accept"
    within = [situation.within_target(i) for i in range(len(situation.tickets))]
    return "split" if any(within) else "counter"


def choose_asks(situation: Situation, act: str, rng: random.Random) -> tuple[int, ...]:
    """Return the price to ask for each ticket: its target, or the cheaper price elsewhere, which is not above it."""
    asks = []
    for ticket, before in zip(situation.tickets, situation.asked, strict=True):
        fair = (ticket.target_price, ticket.best.price)
        same = before is not None and before in fair and (act in _SAME_ASK or rng.random() < 0.5)
        asks.append(before if before is not None and same else fair[rng.random() < 0.35])
    return tuple(asks)


def _join(tickets: tuple[Ticket, ...], prices: tuple[int, ...]) -> str:
    """Write the price of one room, or of two with the rooms named."""
    if len(tickets) == 1:
        return f"{prices[0]} {tickets[0].currency}"
    return f"{prices[0]} {tickets[0].currency} for the {tickets[0].room} and {prices[1]} for the {tickets[1].room}"


def word_facts(situation: Situation, asks: tuple[int, ...], rng: random.Random) -> dict[str, str]:
    """Return the words that the grammar may use in this situation."""
    tickets = situation.tickets
    first = tickets[0]
    evidence = rng.choice((first.best, first.best, *first.evidence))
    facts = {
        "hotel": first.hotel,
        "city": first.city,
        "room": first.room,
        "commission": f"{first.commission_percent}%",
        "source": "your own site" if evidence.source == OWN_SITE else evidence.source,
        "rival": str(evidence.price),
        "now": _join(tickets, tuple(t.selling_price for t in tickets)),
        "ask": _join(tickets, asks),
        "trouble": situation.trouble or "this",
    }
    offers = tuple(offer for offer in situation.offers if offer is not None)
    if len(offers) == len(tickets):
        facts["offer"] = _join(tickets, offers)
    good = [i for i in range(len(tickets)) if situation.within_target(i)]
    if len(tickets) == 2 and len(good) == 1:
        done, todo = tickets[good[0]], tickets[1 - good[0]]
        facts["good_offer"] = f"{situation.offers[good[0]]} {done.currency} for the {done.room}"
        facts["ask"] = f"{asks[1 - good[0]]} {todo.currency} for the {todo.room}"
        facts |= {
            "room": todo.room,
            "rival": str(todo.best.price),
            "source": "your own site" if todo.best.source == OWN_SITE else todo.best.source,
        }
    return facts


def labels_for(situation: Situation, used: frozenset[str]) -> dict[str, bool]:
    """Return the labels of a reply without fault, from the grammar rules it was built of."""
    labels = dict.fromkeys(LABELS, False)
    labels["soothes"] = situation.complains and "soothe_general" in used
    labels["gives_reason"] = any(name.startswith("reason_") for name in used)
    labels["right_step"] = True
    return labels


def _repeats(text: str, situation: Situation) -> bool:
    """Does the text share a run of words with an earlier turn of the agent?"""
    words = text.lower().split()
    earlier = " | ".join(said.text.lower() for said in situation.own)
    return any(" ".join(words[i : i + _SHARED_WORDS]) in earlier for i in range(len(words) - _SHARED_WORDS + 1))


def compose(
    situation: Situation,
    rng: random.Random,
    *,
    act: str,
    rules: Rules | None = None,
    facts: Mapping[str, str] | None = None,
) -> tuple[str, frozenset[str]]:
    """Write one draft of an act in a situation: the text, and the grammar rules it used."""
    words = word_facts(situation, choose_asks(situation, act, rng), rng)
    return expand(rng, rules or rules_for(situation), act, words | dict(facts or {}))


def response(situation: Situation, rng: random.Random) -> Said:
    """Return what the expert says: the act that the SOP calls for, short, and in words it has not used before."""
    act = act_for(situation, rng)
    rules, facts = rules_for(situation), word_facts(situation, choose_asks(situation, act, rng), rng)
    longest = _LONGEST if len(situation.tickets) == 1 else _LONGEST_OF_TWO
    best: tuple[int, str, frozenset[str]] | None = None  # with the fewest faults
    for _ in range(10):
        text, used = expand(rng, rules, act, facts)
        length = token_estimate(text)
        faults = length * (length > longest) + 100 * _repeats(text, situation)
        if best is None or faults < best[0]:
            best = (faults, text, used)
        if not faults:
            break
    assert best is not None
    return Said(best[1], act, labels_for(situation, best[2]))
