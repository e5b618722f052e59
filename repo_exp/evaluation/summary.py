"""From answered contexts to a table: what each arm is worth, and how sure the difference between two is.

An arm is one policy (base, sft, repo) answering the same contexts. The result is JSON: no NaN (a number that
is not there is None), so that it lies in the store as it is and the report reads it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from repo_exp.evaluation.statistics import (
    exact_paired_test,
    mean_interval,
    paired_comparison,
    wilson_interval,
)
from repo_exp.evaluation.verdict import verdict
from repo_exp.plain import plain
from repo_exp.types import Reply, RewardBreakdown

Answer = tuple[Reply, RewardBreakdown]
Arms = Mapping[str, Sequence[Answer]]

SOURCES = ("model", "judge", "rules")


def summarise(
    arms: Arms, *, baseline: str = "sft", seed: int = 0, resamples: int = 10_000, confidence: float = 0.95
) -> dict[str, Any]:
    """Return the table of all arms, the comparisons of the last arm, and a verdict in words.

    Args:
        arms: name -> its answers, in the order in which the arms came to be (base, sft, repo); the same
            contexts in the same order in each.
        baseline: the arm that the last one is compared with, if it is there; else the arm before the last.
        seed, resamples, confidence: of the intervals and tests.

    Returns:
        ``{"order", "n", "sources", "arms": {name: ...}, "comparisons": [...], "verdict": {"text", "status"},
        "settings"}``; see ``repo_exp.evaluation.report_data.Results``.

    Raises:
        ValueError: no arms, or arms that answer different contexts.
    """
    check_same_contexts(arms)
    order = list(arms)
    settings = {"seed": seed, "resamples": resamples, "confidence": confidence}
    sources = [name for name in SOURCES if any(name in worth.sources for arm in arms.values() for _, worth in arm)]
    results = {
        "order": order,
        "n": len({reply.context.id for reply, _ in arms[order[0]]}),
        "sources": sources,
        "arms": {name: _arm(answers, arms, sources, settings) for name, answers in arms.items()},
        "comparisons": [
            {"before": before, "after": after, **_comparison(arms[before], arms[after], sources, settings)}
            for before, after in _compared(order, baseline)
        ],
        "settings": settings,
    }
    results = plain(results)
    results["verdict"] = verdict(results)
    return results


def check_same_contexts(arms: Arms) -> None:
    """Raise ValueError unless every arm answers the same contexts in the same order."""
    if not arms:
        raise ValueError("there is no arm to evaluate")
    first, *others = arms
    wanted = [reply.context.id for reply, _ in arms[first]]
    for name in others:
        found = [reply.context.id for reply, _ in arms[name]]
        if len(found) != len(wanted):
            raise ValueError(f"arms answer the same contexts: '{first}' has {len(wanted)}, '{name}' has {len(found)}")
        for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
            if one != other:
                raise ValueError(
                    f"arms answer the same contexts in the same order: place {place} is '{one}' in '{first}' "
                    f"and '{other}' in '{name}'"
                )


def violated(worth: RewardBreakdown) -> float:
    """Return 1 if at least one rule was violated, 0 if none, NaN if the rules gave no score."""
    rules = worth.sources.get("rules")
    if rules is None or rules.missing:
        return math.nan
    return float(bool(rules.parts))


def _compared(order: list[str], baseline: str) -> list[tuple[str, str]]:
    """The last arm against the baseline first; then the baseline against what it was made from."""
    if len(order) < 2:
        return []
    after = order[-1]
    before = baseline if baseline in order[:-1] else order[-2]
    place = order.index(before)
    return [(before, after)] + ([(order[place - 1], before)] if place else [])


def _arm(answers: Sequence[Answer], arms: Arms, sources: list[str], settings: dict) -> dict[str, Any]:
    replies = [reply for reply, _ in answers]
    rules = sorted({rule for arm in arms.values() for _, worth in arm for rule in _parts(worth, "rules")})
    items = sorted({item for arm in arms.values() for _, worth in arm for item in _parts(worth, "judge")})
    judged = [worth for _, worth in answers if not math.isnan(source_value(worth, "judge"))]
    ruled = [worth for _, worth in answers if not math.isnan(violated(worth))]
    confidence = settings["confidence"]
    return {
        "n": len(answers),
        "total": mean_interval([worth.total for _, worth in answers], **settings),
        "sources": {
            name: mean_interval([source_value(worth, name) for _, worth in answers], **settings) for name in sources
        },
        "violations": wilson_interval(sum(map(violated, ruled)), len(ruled), confidence=confidence) if ruled else None,
        "rules": {
            rule: wilson_interval(sum(rule in _parts(worth, "rules") for worth in ruled), len(ruled),
                                  confidence=confidence)
            for rule in rules if ruled
        },
        "items": {
            item: sum(_parts(worth, "judge").get(item, 0.0) for worth in judged) / len(judged)
            for item in items if judged
        },
        "tokens": _lengths([reply.tokens for reply in replies]),
        "words": _lengths([words(reply) for reply in replies]),
        "unfinished": _share(not reply.finished for reply in replies),
        "distinct": _distinct(replies),
    }


def _comparison(before: Sequence[Answer], after: Sequence[Answer], sources: list[str], settings: dict) -> dict:
    """Paired by context: where a context was answered several times, its answers are averaged first."""

    def pair(measure: Callable[[Answer], float]) -> tuple[list[float], list[float]]:
        return by_context(before, measure), by_context(after, measure)

    total = pair(lambda answer: answer[1].total)
    rates = pair(lambda answer: violated(answer[1]))
    fell = sum(one > other for one, other in zip(*rates, strict=True))
    rose = sum(one < other for one, other in zip(*rates, strict=True))
    ruled = sum(not math.isnan(one + other) for one, other in zip(*rates, strict=True))
    return {
        "total": paired_comparison(*total, **settings),
        "sources": {
            name: paired_comparison(*pair(lambda answer, name=name: source_value(answer[1], name)), **settings)
            for name in sources
        },
        "tokens": paired_comparison(*pair(lambda answer: float(answer[0].tokens)), **settings),
        "words": paired_comparison(*pair(lambda answer: float(words(answer[0]))), **settings),
        "violations": {"n": ruled, "fell": fell, "rose": rose, "p": exact_paired_test(fell, rose)} if ruled else None,
        "differences": [other - one for one, other in zip(*total, strict=True)],
    }


def by_context(answers: Sequence[Answer], measure: Callable[[Answer], float]) -> list[float]:
    """Return the mean measure of each context, in order of appearance; NaN where nothing was measured."""
    values: dict[str, list[float]] = {}
    for answer in answers:
        values.setdefault(answer[0].context.id, []).append(measure(answer))
    return [_mean([value for value in group if not math.isnan(value)]) for group in values.values()]


def source_value(worth: RewardBreakdown, name: str) -> float:
    """Return the score of one source, NaN where it was not asked or gave none."""
    return worth.sources[name].value if name in worth.sources else math.nan


def words(reply: Reply) -> int:
    """Return the number of words, by white space."""
    return len(reply.text.split())


def _parts(worth: RewardBreakdown, source: str) -> Mapping[str, float]:
    return worth.sources[source].parts if source in worth.sources else {}


def _lengths(values: list[int]) -> dict[str, float]:
    """Mean, and the 95th percentile as the value that at least 95 % do not exceed."""
    if not values:
        return {"mean": math.nan, "p95": math.nan}
    ordered = sorted(values)
    return {"mean": _mean(values), "p95": float(ordered[math.ceil(0.95 * len(ordered)) - 1])}


def _distinct(replies: Sequence[Reply]) -> float:
    """Share of different replies, capitals and white space aside. 1 where no two are the same."""
    return len({" ".join(reply.text.casefold().split()) for reply in replies}) / len(replies) if replies else math.nan


def _share(flags: Iterable[bool]) -> float:
    return _mean([float(flag) for flag in flags])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
