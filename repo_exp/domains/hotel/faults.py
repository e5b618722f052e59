"""What goes wrong in replies: one function a fault, each turning a situation and a good reply into a faulty one.

A function returns None where its fault makes no sense (nothing was offered, nobody complained, ...). Most rewrite
the reply with some grammar rules replaced, so that faulty and good replies are alike but for the fault.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from repo_exp.domains.hotel import fault_words as words
from repo_exp.domains.hotel.expert import act_for, compose, labels_for, rules_for
from repo_exp.domains.hotel.expert_words import ONE_TICKET
from repo_exp.domains.hotel.grammar import Rules
from repo_exp.domains.hotel.situation import Said, Situation, token_estimate
from repo_exp.domains.hotel.sop import Move, Stage
from repo_exp.language.prices import mentioned_prices

Fault = Callable[[Situation, Said, random.Random], Said | None]

_BARGAINING = frozenset({Stage.OPEN, Stage.REASON, Stage.QUOTE, Stage.PERSUADE, Stage.COUNTER})


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rewrite(
    situation: Situation, rng: random.Random, instead: Rules, act: str = "", **facts: str
) -> tuple[str, frozenset[str], str] | None:
    """Write the reply anew with some rules replaced, at least one of which must be used."""
    for _ in range(4):
        chosen = act or act_for(situation, rng)
        text, used = compose(situation, rng, act=chosen, rules={**rules_for(situation), **instead}, facts=facts)
        if used & instead.keys():
            return text, used, chosen
    return None


def _without_reasons(used: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in used if not name.startswith("reason_"))


def wrong_number(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """A price that stands in no ticket and that nobody offered."""
    rivals = {e.price for t in situation.tickets for e in t.evidence}
    known = rivals | {p for t in situation.tickets for p in (t.selling_price, t.net_price, t.target_price)}
    known |= {o for o in situation.offers if o is not None}
    amounts = [a for a in mentioned_prices(said.text) if a.is_price and a.value not in rivals]
    if not amounts:
        return None
    amount = rng.choice(amounts)
    value = int(amount.value)
    digits = str(value)
    slips = [
        digits[1] + digits[0] + digits[2:] if len(digits) > 1 else digits,
        digits + rng.choice("05"),
        digits[:-1],
        str(round(value * rng.uniform(0.5, 0.85))),
        str(round(value * rng.uniform(1.15, 1.8))),
        str(value + rng.choice((-9, -7, 7, 9, 11, 13)) * (1 + value // 200)),
        rng.choice("123456789") + digits[1:],
    ]
    slips = [s for s in slips if s.isdigit() and s[0] != "0" and int(s) not in known and int(s) >= 10]
    if not slips:
        return None
    text = said.text[: amount.start] + rng.choice(slips) + said.text[amount.end :]
    return Said(text, said.act, said.labels)


def invented_fact(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """A reason that nobody ever heard of, in place of the honest one."""
    written = _rewrite(situation, rng, words.INVENTED)
    if written is None:
        return None
    return Said(written[0], written[2], labels_for(situation, _without_reasons(written[1])))


def over_promise(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """A promise that nobody can keep."""
    written = _rewrite(situation, rng, words.PROMISE)
    if written is None:
        return None
    return Said(written[0], written[2], labels_for(situation, _without_reasons(written[1])) | {"over_promises": True})


def leaked_target(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """The target, or the machinery behind it, is named as such."""
    ticket = situation.tickets[-1 if situation.within_target(0) else 0]
    written = _rewrite(situation, rng, words.LEAK, target=f"{ticket.target_price} {ticket.currency}")
    return written and Said(written[0], written[2], labels_for(situation, written[1]))


def ignored_ticket(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """Of two rooms only one is spoken of."""
    index = rng.randrange(2)
    alone = replace(
        situation,
        tickets=situation.tickets[index : index + 1],
        offers=situation.offers[index : index + 1],
        asked=situation.asked[index : index + 1],
    )
    act = act_for(alone, rng)
    if act == "split":  # the one room that was picked is settled
        act = "accept"
    text, used = compose(alone, rng, act=act, rules=ONE_TICKET)
    return Said(text, act, labels_for(situation, used) | {"right_step": False})


def repeated_script(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """The agent says again what it said before."""
    before = situation.own[-1]
    text = rng.choice(words.AGAIN) + before.text
    return Said(
        text,
        before.act,
        dict(before.labels)
        | {
            "repeats": True,
            "right_step": False,
            "soothes": situation.complains and before.labels["soothes"],
            "misses_acceptance": situation.acceptable,
        },
    )


def rude(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """An insult or a threat."""
    written = _rewrite(situation, rng, words.RUDE)
    if written is None or rng.random() < 0.25:
        text = f"{rng.choice(words.RUDE_PREFIX)} {said.text}"
        return Said(text, said.act, dict(said.labels) | {"rude": True})
    return Said(written[0], written[2], labels_for(situation, written[1]) | {"rude": True, "soothes": False})


def too_long(situation: Situation, said: Said, rng: random.Random) -> Said:
    """The reply drowns in filler."""
    padding = rng.sample(words.PADDING, 4)
    text = f"{padding[0]} {said.text} {padding[1]}"
    while token_estimate(text) < 60 and len(padding) > 2:
        text += f" {padding.pop()}"
    return Said(text, said.act, said.labels)


def wrong_language(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """Part of the reply is in another language."""
    written = _rewrite(situation, rng, words.FOREIGN)
    return written and Said(_capital(written[0]), written[2], labels_for(situation, written[1]))


def leaked_reasoning(situation: Situation, said: Said, rng: random.Random) -> Said:
    """What the agent thinks stands in what it says."""
    text = rng.choice(words.REASONING).format(text=said.text, mood=situation.mood, stage=situation.stage.value)
    return Said(text, said.act, said.labels)


def missed_acceptance(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """The offer is good enough, and the agent goes on bargaining."""
    lower = []
    for ticket, offer in zip(situation.tickets, situation.offers, strict=True):
        if offer is None:
            return None
        below = round(offer * rng.uniform(0.9, 0.97))
        lower.append(ticket.best.price if ticket.best.price < offer and rng.random() < 0.5 else below)
    first = situation.tickets[0]
    ask = f"{lower[0]} {first.currency}"
    if len(lower) == 2:
        ask += f" for the {first.room} and {lower[1]} for the {situation.tickets[1].room}"
    act = rng.choice(("counter", "counter", "persuade"))
    text, used = compose(situation, rng, act=act, facts={"ask": ask})
    return Said(text, act, labels_for(situation, used) | {"misses_acceptance": True, "right_step": False})


def net_selling_swap(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """The price that guests see is called the hotel's net price."""
    written = _rewrite(situation, rng, words.SWAP)
    return written and Said(written[0], written[2], labels_for(situation, written[1]))


def silence_as_consent(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """No answer, or a vague one, is taken for a yes."""
    written = _rewrite(situation, rng, words.ASSUMED, act="assumed")
    if written is None:
        return None
    text, used, act = written
    return Said(text, act, labels_for(situation, used) | {"assumes_consent": True, "right_step": False})


def cold_reply(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """The complaint is brushed aside."""
    written = _rewrite(situation, rng, words.COLD)
    if written is None:
        return None
    text, used, act = written
    return Said(text, act, labels_for(situation, used) | {"soothes": False})


def no_reason(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """A bare demand."""
    written = _rewrite(situation, rng, words.BARE)
    if written is None:
        return None
    text, used, act = written
    return Said(text, act, labels_for(situation, used))


def empty_courtesy(situation: Situation, said: Said, rng: random.Random) -> Said:
    """Kind words and nothing else, where the talk needs a step: what a reward for kindness alone would end in."""
    text = " ".join(rng.sample(words.COURTESIES, rng.choice((1, 2, 2, 3))))
    return Said(text, "empty", labels_for(situation, frozenset()) | {"right_step": False})


def wrong_step(situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """Another step than the one that is called for: gives up early, takes a price above the target, starts again."""
    if situation.stage is Stage.COUNTER and all(o is not None for o in situation.offers):
        act = rng.choice(("accept", "accept", "close_fail"))
    elif situation.stage in {Stage.REASON, Stage.PERSUADE, Stage.QUOTE, Stage.FOLLOW_UP}:
        act = rng.choice(("close_fail", "close_fail", "open" if situation.stage is not Stage.REASON else "close_fail"))
    elif situation.stage is Stage.CONFIRM:
        act = rng.choice(("close_fail", "open")) if situation.acceptable else "close_fail"
    elif situation.stage in {Stage.CLOSE_SUCCESS, Stage.CLOSE_FAIL}:
        act = "open"
    else:
        return None
    text, used = compose(situation, rng, act=act)
    return Said(
        text,
        act,
        labels_for(situation, used)
        | {"right_step": False, "misses_acceptance": situation.acceptable and act == "open"},
    )


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        wrong_number,
        invented_fact,
        over_promise,
        leaked_target,
        ignored_ticket,
        repeated_script,
        rude,
        too_long,
        wrong_language,
        leaked_reasoning,
        missed_acceptance,
        net_selling_swap,
        silence_as_consent,
        cold_reply,
        no_reason,
        empty_courtesy,
        wrong_step,
    )
}

NEEDS: dict[str, Callable[[Situation], bool]] = {
    "ignored_ticket": lambda s: len(s.tickets) > 1 and s.stage not in {Stage.CLOSE_SUCCESS, Stage.CLOSE_FAIL},
    "repeated_script": lambda s: bool(s.own),
    "missed_acceptance": lambda s: s.acceptable,
    "silence_as_consent": lambda s: s.move in {Move.SILENT, Move.VAGUE},
    "cold_reply": lambda s: s.complains,
    "no_reason": lambda s: s.stage in _BARGAINING and s.move is not Move.ASK_KIND,
    "over_promise": lambda s: s.stage is not Stage.FOLLOW_UP,
    "empty_courtesy": lambda s: s.stage not in {Stage.CLOSE_SUCCESS, Stage.CLOSE_FAIL},
    "wrong_step": lambda s: s.stage is not Stage.OPEN,
}
"""What a situation must be like for a fault to be possible, where that can be told beforehand."""

CARELESS = (
    "wrong_number",
    "invented_fact",
    "over_promise",
    "leaked_target",
    "rude",
    "cold_reply",
    "no_reason",
    "missed_acceptance",
)
"""Faults that an earlier turn of a talk may carry; the others would spoil the history for whoever learns from it."""


def commit(name: str, situation: Situation, said: Said, rng: random.Random) -> Said | None:
    """Return the faulty reply, or None where this fault makes no sense here or changes nothing."""
    if name in NEEDS and not NEEDS[name](situation):
        return None
    faulty = FAULTS[name](situation, said, rng)
    return None if faulty is None or faulty.text == said.text else faulty
