"""The standard operating procedure as data: stages, which may follow which, and what the hotel's move leads to."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """Where the talk stands when it is the agent's turn."""

    OPEN = "open"  # nobody has spoken; greet, say why, ask
    REASON = "reason"  # the hotel asks who or why
    QUOTE = "quote"  # the hotel asks which price, or which kind of price
    PERSUADE = "persuade"  # the hotel refuses, complains or changes the subject
    COUNTER = "counter"  # the hotel offers a price above the target
    CONFIRM = "confirm"  # an offer at or below the target, or something that may or may not be a yes
    CLOSE_SUCCESS = "close_success"  # the hotel has confirmed
    CLOSE_FAIL = "close_fail"  # the hotel has ended the talk
    FOLLOW_UP = "follow_up"  # the hotel has not answered


class Move(StrEnum):
    """What the hotel's last message does."""

    NONE = "none"  # there is no message yet
    WHO = "who"
    ASK_PRICE = "ask_price"
    ASK_KIND = "ask_kind"  # is that what guests pay, or what I get?
    REFUSE = "refuse"
    COMPLAIN = "complain"
    OFF_TOPIC = "off_topic"
    OFFER = "offer"
    CONSENT = "consent"  # a clear yes to what the agent asked for
    VAGUE = "vague"  # may be a yes, may be nothing
    SILENT = "silent"
    CONFIRMED = "confirmed"
    END = "end"


_STAGE_AFTER = MappingProxyType(
    {
        Move.NONE: Stage.OPEN,
        Move.WHO: Stage.REASON,
        Move.ASK_PRICE: Stage.QUOTE,
        Move.ASK_KIND: Stage.QUOTE,
        Move.REFUSE: Stage.PERSUADE,
        Move.COMPLAIN: Stage.PERSUADE,
        Move.OFF_TOPIC: Stage.PERSUADE,
        Move.OFFER: Stage.COUNTER,
        Move.CONSENT: Stage.CONFIRM,
        Move.VAGUE: Stage.CONFIRM,
        Move.SILENT: Stage.FOLLOW_UP,
        Move.CONFIRMED: Stage.CLOSE_SUCCESS,
        Move.END: Stage.CLOSE_FAIL,
    }
)

_TALKING = frozenset(
    {Stage.REASON, Stage.QUOTE, Stage.PERSUADE, Stage.COUNTER, Stage.CONFIRM, Stage.FOLLOW_UP, Stage.CLOSE_FAIL}
)
TRANSITIONS = MappingProxyType(
    {
        Stage.OPEN: _TALKING,
        Stage.REASON: _TALKING,
        Stage.QUOTE: _TALKING,
        Stage.PERSUADE: _TALKING,
        Stage.COUNTER: _TALKING,
        Stage.FOLLOW_UP: _TALKING,
        Stage.CONFIRM: _TALKING | {Stage.CLOSE_SUCCESS},
        Stage.CLOSE_SUCCESS: frozenset(),
        Stage.CLOSE_FAIL: frozenset(),
    }
)
"""Stage -> the stages that the hotel's answer may lead to. Success has to pass through a confirmation."""

RULES = (
    "Infer the stage from the hotel's reply.",
    "Keep the selling price (what guests pay) and the net price (what the hotel gets) apart.",
    "Accept an offer at or below the target at once, and stop persuading.",
    "No reply is not consent.",
    "Never say internal words or the target price as such.",
    "No exaggerated promises.",
    "Handle every ticket.",
    "Do not repeat yourself.",
)


def stage_after(move: Move, *, all_within_target: bool) -> Stage:
    """Return the stage that the hotel's move leads to. What is above the target is countered, the rest confirmed."""
    if move in {Move.OFFER, Move.CONSENT}:
        return Stage.CONFIRM if all_within_target else Stage.COUNTER
    return _STAGE_AFTER[move]
