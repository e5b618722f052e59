"""Responses without a score: how they are counted, which may be compared, and when a figure is withheld.

A score *failed* where its source should have given one and gave none (an endpoint that died, a budget that was spent).
It is *missing* too where the source does not apply to such a prompt; that is no failure, and withholds nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repo_exp.types import RewardBreakdown, Trajectory

Answer = tuple[Trajectory, RewardBreakdown]

MAX_UNSCORED = 0.2
"""The share of failed scores above which a figure is withheld, where the caller does not say."""


def above(count: int, of: int, share: float) -> bool:
    """Is ``count`` of ``of`` more than the share? 0 of 0 is not."""
    return count > share * of


def failures(answers: Sequence[Answer], sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return source -> ``{"responses", "of", "reasons": {reason: responses}}``, for the sources that failed at all."""
    found: dict[str, dict[str, Any]] = {}
    for name in sources:
        asked = [breakdown.scores[name] for _, breakdown in answers if name in breakdown.scores]
        reasons = Counter(score.reason for score in asked if score.failed)
        if reasons:
            ordered = dict(sorted(reasons.items(), key=lambda each: (-each[1], each[0])))
            found[name] = {"responses": sum(reasons.values()), "of": len(asked), "reasons": ordered}
    return found


def by_prompt(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Return the answers by prompt, in order of appearance."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer[0].prompt.id, []).append(answer)
    return found


def alike_totals(before: Sequence[Answer], after: Sequence[Answer]) -> tuple[list[float], list[float], int]:
    """Return both variants' mean total of each prompt, and how many prompts are unscored.

    Only responses count whose totals do without the same sources in both variants, those without the fewest first;
    where there are none, both totals are NaN. A prompt is unscored where a total of one of its responses does without a
    score that failed, or where there are totals and none that do without the same sources.
    """
    first, second, unscored = [], [], 0
    for ours, theirs in zip(by_prompt(before).values(), by_prompt(after).values(), strict=True):
        sets = [_by_missing(answers) for answers in (ours, theirs)]
        common = sorted(sets[0].keys() & sets[1].keys(), key=lambda missing: (len(missing), missing))
        first.append(mean(sets[0][common[0]]) if common else math.nan)
        second.append(mean(sets[1][common[0]]) if common else math.nan)
        failed = any(breakdown.failed_in_total for _, breakdown in [*ours, *theirs])
        unscored += failed or bool(not common and (sets[0] or sets[1]))
    return first, second, unscored


def failed_prompts(before: Sequence[Answer], after: Sequence[Answer], source: str) -> int:
    """Return in how many prompts the source failed on a response of either variant."""
    groups = zip(by_prompt(before).values(), by_prompt(after).values(), strict=True)
    return sum(any(source in breakdown.failed for _, breakdown in [*ours, *theirs]) for ours, theirs in groups)


def means_by_prompt(answers: Sequence[Answer], measure: Callable[[Answer], float]) -> list[float]:
    """Return the mean measure of each prompt, in order of appearance; NaN where nothing was measured."""
    return [mean([measure(answer) for answer in group]) for group in by_prompt(answers).values()]


def withheld(figure: Mapping[str, Any], *, keep: Sequence[str] = ("n", "missing", "unscored")) -> dict[str, Any]:
    """Return a figure without its numbers: only the counts that explain why it is withheld."""
    return {name: value if name in keep else None for name, value in figure.items()} | {"withheld": True}


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are there; NaN where none is."""
    present = [value for value in values if not math.isnan(value)]
    return sum(present) / len(present) if present else math.nan


def _by_missing(answers: Sequence[Answer]) -> dict[tuple[str, ...], list[float]]:
    """Return the totals by the sources that they do without: totals without different ones are different measures."""
    found: dict[tuple[str, ...], list[float]] = {}
    for _, breakdown in answers:
        if not math.isnan(breakdown.total):
            found.setdefault(tuple(sorted(breakdown.missing_sources)), []).append(breakdown.total)
    return found
