"""Which replies a reader is shown: chosen by rule from the scores, so that nobody picks the flattering ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from repo_exp.evaluation.summary import Arms, check_same_contexts, violated
from repo_exp.evaluation.unscored import MAX_UNSCORED, above, lacks
from repo_exp.plain import plain
from repo_exp.types import Context, Reply, RewardBreakdown


def choose_examples(
    arms: Arms, *, before: str | None = None, after: str | None = None, max_unscored: float = MAX_UNSCORED
) -> list[dict[str, Any]]:
    """Return up to six contexts with the replies of every arm, and why each was chosen.

    By the difference of total reward between the two arms: the biggest gain, the median, the biggest loss. Then a
    context in which ``before`` broke a rule and ``after`` did not, one the other way round, and one in which both
    did. Ties go to the earlier context; no context is shown twice. With one arm there is nothing to compare: [].
    Totals that lack different scores have no difference; where scores failed in more than ``max_unscored`` of the
    contexts, nothing is chosen by the difference at all.

    Args:
        arms: as for ``summarise``.
        before, after: arm names; the one called sft (or the one before the last), and the last.
        max_unscored: the share of failed scores above which a comparison is withheld.
    """
    check_same_contexts(arms)
    order = list(arms)
    if len(order) < 2:
        return []
    after = after or order[-1]
    before = before or ("sft" if "sft" in order[:-1] else order[-2])
    chosen: dict[int, str] = {}
    for why, places in _wishes(arms[before], arms[after], max_unscored):
        place = next((place for place in places if place not in chosen), None)
        if place is not None:
            chosen[place] = why
    return [_example(arms, place, why, before, after) for place, why in chosen.items()]


def worked_example(arms: Arms) -> dict[str, Any] | None:
    """Return the last arm's reply that shows best how a reward is made, or None where none was scored.

    That is the first with the most sources that gave a score other than 0, and among those one inside the bound.
    """
    scored = [answer for answer in arms[list(arms)[-1]] if not math.isnan(answer[1].total)]
    scored = [answer for answer in scored if not answer[1].failed] or scored
    if not scored:
        return None

    def merit(answer: tuple[Reply, RewardBreakdown]) -> tuple[int, bool]:
        worth = answer[1]
        speaking = sum(bool(score.value) and not score.missing for score in worth.sources.values())
        return speaking, worth.clipped == 0

    best = max(scored, key=merit)  # the first of several
    return {"messages": _messages(best[0].context), **reply_view(list(arms)[-1], *best)}


def reply_view(arm: str, reply: Reply, worth: RewardBreakdown) -> dict[str, Any]:
    """Return one reply with every score, its parts and the judge's words, as JSON."""
    return plain(
        {
            "arm": arm,
            "text": reply.text,
            "finished": reply.finished,
            "tokens": reply.tokens,
            "total": worth.total,
            "enhancement": worth.enhancement,
            "clipped": worth.clipped,
            "lacks": sorted(lacks(worth)),
            "sources": dict(worth.sources),
        }
    )


def _wishes(before: Sequence[tuple], after: Sequence[tuple], max_unscored: float) -> list[tuple[str, list[int]]]:
    """Each reason with the places that satisfy it, best first."""
    pairs = [(old, new) for (_, old), (_, new) in zip(before, after, strict=True)]
    gain = {place: each for place, pair in enumerate(pairs) if not math.isnan(each := _difference(*pair))}
    if above(
        sum(bool(old.failed or new.failed) or lacks(old) != lacks(new) for old, new in pairs), len(pairs), max_unscored
    ):
        gain = {}
    by_gain = sorted(gain, key=lambda place: (-gain[place], place))
    middle = sorted(range(len(by_gain)), key=lambda rank: (abs(2 * rank + 1 - len(by_gain)), rank))
    broke = [
        (violated(old) == 1, violated(new) == 1, violated(old) == 0, violated(new) == 0)
        for (_, old), (_, new) in zip(before, after, strict=True)
    ]
    best, worst = (gain[by_gain[0]], gain[by_gain[-1]]) if by_gain else (0.0, 0.0)
    return [
        ("the biggest gain" if best > 0 else "the highest difference", by_gain),
        ("the biggest loss" if worst < 0 else "the lowest difference", by_gain[::-1]),
        ("the median difference", [by_gain[rank] for rank in middle]),
        ("a rule was broken before and is kept now", [i for i, (old, _, _, kept) in enumerate(broke) if old and kept]),
        ("a rule was kept before and is broken now", [i for i, (_, new, kept, _) in enumerate(broke) if kept and new]),
        ("a rule is broken by both", [i for i, (old, new, _, _) in enumerate(broke) if old and new]),
    ]


def _example(arms: Arms, place: int, why: str, before: str, after: str) -> dict[str, Any]:
    context = arms[after][place][0].context
    difference = _difference(*(arms[name][place][1] for name in (before, after)))
    return {
        "why": why,
        "context": context.id,
        "messages": _messages(context),
        "facts": plain(dict(context.facts)),
        "before": before,
        "after": after,
        "difference": plain(difference),
        "replies": {name: reply_view(name, *answers[place]) for name, answers in arms.items()},
    }


def _difference(old: RewardBreakdown, new: RewardBreakdown) -> float:
    """Return how far the total rose; NaN where the two lack different scores, and so are of different measures."""
    return new.total - old.total if lacks(old) == lacks(new) else math.nan


def _messages(context: Context) -> list[Mapping[str, str]]:
    return [{"role": message.role, "content": message.content} for message in context.messages]
