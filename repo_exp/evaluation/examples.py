"""Chooses the examples of the report by a fixed rule from the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from repo_exp.evaluation.summary import Infos, Variants, check_same_prompts, violated
from repo_exp.evaluation.unscored import MAX_UNSCORED, Answer, above
from repo_exp.plain import plain
from repo_exp.types import Prompt, RewardBreakdown, Trajectory


def choose_examples(
    variants: Variants,
    sources: Infos,
    *,
    before: str | None = None,
    after: str | None = None,
    max_unscored: float = MAX_UNSCORED,
) -> list[dict[str, Any]]:
    """Return up to six prompts with the responses of every variant, and why each was chosen.

    By the difference of total reward between the two variants: the biggest gain, the median, the biggest loss. Then a
    prompt in which ``before`` broke a rule and ``after`` did not, one the other way round, and one in which both
    did. Ties go to the earlier prompt; no prompt is shown twice. With one variant there is nothing to compare: [].
    Totals that do without different sources have no difference; where scores failed in more than ``max_unscored`` of
    the prompts, nothing is chosen by the difference.

    Args:
        variants, sources: as for ``summarise``.
        before, after: variant names; the one called sft (or the one before the last), and the last.
        max_unscored: the share of failed scores above which a comparison is withheld.
    """
    check_same_prompts(variants)
    order = list(variants)
    if len(order) < 2:
        return []
    after = after or order[-1]
    before = before or ("sft" if "sft" in order[:-1] else order[-2])
    chosen: dict[int, str] = {}
    for why, places in _criteria(variants[before], variants[after], sources, max_unscored):
        place = next((place for place in places if place not in chosen), None)
        if place is not None:
            chosen[place] = why
    return [_example(variants, place, why, before, after) for place, why in chosen.items()]


def worked_example(variants: Variants) -> dict[str, Any] | None:
    """Return the last variant's response that best shows how a reward is computed, or None where none was scored.

    That is the first with the most sources whose score is not 0, and among those one inside the bound.
    """
    scored = [answer for answer in variants[list(variants)[-1]] if not math.isnan(answer[1].total)]
    scored = [answer for answer in scored if not answer[1].failed] or scored
    if not scored:
        return None

    def rank(answer: Answer) -> tuple[int, bool]:
        breakdown = answer[1]
        nonzero = sum(bool(score.value) and not score.missing for score in breakdown.scores.values())
        return nonzero, breakdown.clipped == 0

    best = max(scored, key=rank)  # the first of several
    return {"messages": _messages(best[0].prompt), **response_view(list(variants)[-1], *best)}


def response_view(variant: str, trajectory: Trajectory, breakdown: RewardBreakdown) -> dict[str, Any]:
    """Return one response with every score, its parts and the judge's words, as JSON."""
    view: dict[str, Any] = plain(
        {
            "variant": variant,
            "text": trajectory.response,
            "finished": trajectory.finished,
            "tokens": trajectory.tokens,
            "total": breakdown.total,
            "enhancement": breakdown.enhancement,
            "clipped": breakdown.clipped,
            "missing_sources": sorted(breakdown.missing_sources),
            "sources": dict(breakdown.scores),
        }
    )
    return view


def _criteria(
    before: Sequence[Answer], after: Sequence[Answer], sources: Infos, max_unscored: float
) -> list[tuple[str, list[int]]]:
    """Return each criterion with the places that satisfy it, best first."""
    pairs = [(old, new) for (_, old), (_, new) in zip(before, after, strict=True)]
    gain = {place: each for place, pair in enumerate(pairs) if not math.isnan(each := _difference(*pair))}
    incomparable = sum(
        bool(old.failed_in_total or new.failed_in_total) or set(old.missing_sources) != set(new.missing_sources)
        for old, new in pairs
    )
    if above(incomparable, len(pairs), max_unscored):
        gain = {}
    by_gain = sorted(gain, key=lambda place: (-gain[place], place))
    middle = sorted(range(len(by_gain)), key=lambda rank: (abs(2 * rank + 1 - len(by_gain)), rank))
    broke = [
        (was == 1, now == 1, was == 0, now == 0)
        for was, now in ((violated(old, sources), violated(new, sources)) for old, new in pairs)
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


def _example(variants: Variants, place: int, why: str, before: str, after: str) -> dict[str, Any]:
    prompt = variants[after][place][0].prompt
    difference = _difference(*(variants[name][place][1] for name in (before, after)))
    return {
        "why": why,
        "prompt": prompt.id,
        "messages": _messages(prompt),
        "facts": plain(dict(prompt.facts)),
        "before": before,
        "after": after,
        "difference": plain(difference),
        "responses": {name: response_view(name, *answers[place]) for name, answers in variants.items()},
    }


def _difference(old: RewardBreakdown, new: RewardBreakdown) -> float:
    """Return how far the total rose; NaN where the two do without different sources, and so are not comparable."""
    return new.total - old.total if set(old.missing_sources) == set(new.missing_sources) else math.nan


def _messages(prompt: Prompt) -> list[Mapping[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt.messages]
