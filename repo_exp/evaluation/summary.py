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
from repo_exp.evaluation.unscored import (
    MAX_UNSCORED,
    Answer,
    above,
    alike_totals,
    failed_contexts,
    failures,
    means_by_context,
    withheld,
)
from repo_exp.evaluation.verdict import verdict
from repo_exp.plain import plain
from repo_exp.types import Reply, RewardBreakdown

Arms = Mapping[str, Sequence[Answer]]

SOURCES = ("model", "judge", "rules")


def summarise(
    arms: Arms,
    *,
    baseline: str = "sft",
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
    max_unscored: float = MAX_UNSCORED,
) -> dict[str, Any]:
    """Return the table of all arms, the comparisons of the last arm, and a verdict in words.

    An arm's mean total is over replies of which no score failed; two arms are compared context by context, over replies
    that lack the same (``unscored.alike_totals``). Every figure has its count of missing scores, and where more than
    ``max_unscored`` of them failed it has no number at all, and ``"withheld": True``.

    Args:
        arms: name -> its answers, in the order in which the arms came to be (base, sft, repo); the same
            contexts in the same order in each.
        baseline: the arm that the last one is compared with, if it is there; else the arm before the last.
        seed, resamples, confidence: of the intervals and tests.
        max_unscored: the share of failed scores above which a figure is withheld.

    Returns:
        ``{"order", "n", "sources", "arms": {name: ...}, "comparisons": [...], "verdict": {"text", "status"},
        "unscored": {source: ...}, "settings"}``; see ``repo_exp.evaluation.report_data.Results``.

    Raises:
        ValueError: no arms, or arms that answer different contexts.
    """
    check_same_contexts(arms)
    order = list(arms)
    settings = {"seed": seed, "resamples": resamples, "confidence": confidence}
    everybody = [answer for answers in arms.values() for answer in answers]
    sources = [name for name in SOURCES if any(name in worth.sources for arm in arms.values() for _, worth in arm)]
    results = {
        "order": order,
        "n": len({reply.context.id for reply, _ in arms[order[0]]}),
        "sources": sources,
        "arms": {name: _arm(answers, arms, sources, settings, max_unscored) for name, answers in arms.items()},
        "comparisons": [
            {"before": one, "after": other, **_comparison(arms[one], arms[other], sources, settings, max_unscored)}
            for one, other in _compared(order, baseline)
        ],
        "unscored": failures(everybody, sources),
        "settings": settings | {"max_unscored": max_unscored},
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


def _arm(
    answers: Sequence[Answer], arms: Arms, sources: list[str], settings: dict, max_unscored: float
) -> dict[str, Any]:
    replies = [reply for reply, _ in answers]
    rules = sorted({rule for arm in arms.values() for _, worth in arm for rule in _parts(worth, "rules")})
    items = sorted({item for arm in arms.values() for _, worth in arm for item in _parts(worth, "judge")})
    judged = [worth for _, worth in answers if not math.isnan(source_value(worth, "judge"))]
    ruled = [worth for _, worth in answers if not math.isnan(violated(worth))]
    confidence = settings["confidence"]
    failed = {name: sum(name in worth.failed for _, worth in answers) for name in sources}
    if above(failed.get("judge", 0), len(answers), max_unscored):
        judged = []
    if above(failed.get("rules", 0), len(answers), max_unscored):
        ruled = []

    def described(values: list[float], failed: int) -> dict[str, Any]:
        figure = plain(mean_interval(values, **settings)) | {"withheld": False}
        return withheld(figure) if above(failed, len(answers), max_unscored) else figure

    unscored = sum(bool(worth.failed) for _, worth in answers)
    return {
        "n": len(answers),
        "unscored": unscored,
        "total": described([math.nan if worth.failed else worth.total for _, worth in answers], unscored),
        "sources": {
            name: described([source_value(worth, name) for _, worth in answers], failed[name]) for name in sources
        },
        "violations": wilson_interval(sum(map(violated, ruled)), len(ruled), confidence=confidence) if ruled else None,
        "rules": {
            rule: wilson_interval(
                sum(rule in _parts(worth, "rules") for worth in ruled), len(ruled), confidence=confidence
            )
            for rule in rules
            if ruled
        },
        "items": {
            item: sum(_parts(worth, "judge").get(item, 0.0) for worth in judged) / len(judged)
            for item in items
            if judged
        },
        "tokens": _lengths([reply.tokens for reply in replies]),
        "words": _lengths([words(reply) for reply in replies]),
        "unfinished": _share(not reply.finished for reply in replies),
        "distinct": _distinct(replies),
    }


def _comparison(
    before: Sequence[Answer], after: Sequence[Answer], sources: list[str], settings: dict, max_unscored: float
) -> dict:
    """Paired by context: where a context was answered several times, its answers are averaged first."""

    def pair(measure: Callable[[Answer], float]) -> tuple[list[float], list[float]]:
        return means_by_context(before, measure), means_by_context(after, measure)

    def compared(first: list[float], second: list[float], unscored: int = 0) -> dict[str, Any]:
        figure = plain(paired_comparison(first, second, **settings)) | {"unscored": unscored, "withheld": False}
        return withheld(figure) if above(unscored, len(first), max_unscored) else figure

    *total, unscored = alike_totals(before, after)
    failed = {name: failed_contexts(before, after, name) for name in sources}
    rates = pair(lambda answer: violated(answer[1]))
    fell = sum(one > other for one, other in zip(*rates, strict=True))
    rose = sum(one < other for one, other in zip(*rates, strict=True))
    ruled = sum(not math.isnan(one + other) for one, other in zip(*rates, strict=True))
    if above(failed.get("rules", 0), len(total[0]), max_unscored):
        ruled = 0
    overall = compared(*total, unscored)
    return {
        "total": overall,
        "sources": {
            name: compared(*pair(lambda answer, name=name: source_value(answer[1], name)), failed[name])
            for name in sources
        },
        "tokens": compared(*pair(lambda answer: float(answer[0].tokens))),
        "words": compared(*pair(lambda answer: float(words(answer[0])))),
        "violations": {"n": ruled, "fell": fell, "rose": rose, "p": exact_paired_test(fell, rose)} if ruled else None,
        "differences": [] if overall["withheld"] else [other - one for one, other in zip(*total, strict=True)],
    }


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
