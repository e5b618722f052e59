"""The table of results: the figures of each variant, and the difference between two with its test.

A variant is one policy (base, sft, repo) answering the same prompts. The result is JSON: no NaN (a number that
is missing is None), so that it can be stored and read back by the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from repo_exp.evaluation.statistics import (
    Proportion,
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
    failed_prompts,
    failures,
    means_by_prompt,
    withheld,
)
from repo_exp.evaluation.verdict import verdict
from repo_exp.plain import plain
from repo_exp.types import RewardBreakdown, SourceInfo, Trajectory

Variants = Mapping[str, Sequence[Answer]]
Infos = Mapping[str, SourceInfo]


def summarise(
    variants: Variants,
    *,
    sources: Infos,
    baseline: str = "sft",
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
    max_unscored: float = MAX_UNSCORED,
) -> dict[str, Any]:
    """Return the table of all variants, the comparisons of the last variant, and a verdict in words.

    A variant's mean total is over responses whose total does without no failed score; two variants are compared prompt
    by prompt, over responses whose totals do without the same sources (``unscored.alike_totals``). Every figure has its
    count of missing scores, and where more than ``max_unscored`` of them failed it has no number at all, and
    ``"withheld": True``.

    Args:
        variants: name -> its answers, in the order in which the variants were trained (base, sft, repo); the same
            prompts in the same order in each.
        sources: the sources that were asked, in the order of the table.
        baseline: the variant that the last one is compared with, if it is there; else the variant before the last.
        seed, resamples, confidence: of the intervals and tests.
        max_unscored: the share of failed scores above which a figure is withheld.

    Returns:
        ``{"order", "n", "sources", "source_info", "variants": {name: ...}, "comparisons": [...], "verdict": {"text",
        "status"}, "unscored": {source: ...}, "settings"}``; see ``repo_exp.evaluation.report_data.Results``.

    Raises:
        ValueError: no variants, or variants that answer different prompts.
    """
    check_same_prompts(variants)
    order = list(variants)
    settings = {"seed": seed, "resamples": resamples, "confidence": confidence}
    everybody = [answer for answers in variants.values() for answer in answers]
    asked = {
        name: info for name, info in sources.items() if any(name in breakdown.scores for _, breakdown in everybody)
    }
    results = {
        "order": order,
        "n": len({trajectory.prompt.id for trajectory, _ in variants[order[0]]}),
        "sources": list(asked),
        "source_info": {name: _info(info) for name, info in asked.items()},
        "variants": {
            name: _variant(answers, variants, asked, settings, max_unscored) for name, answers in variants.items()
        },
        "comparisons": [
            {
                "before": one,
                "after": other,
                **_comparison(variants[one], variants[other], asked, settings, max_unscored),
            }
            for one, other in _compared(order, baseline)
        ],
        "unscored": failures(everybody, list(asked)),
        "settings": settings | {"max_unscored": max_unscored},
    }
    results = plain(results)
    results["verdict"] = verdict(results)
    return results


def check_same_prompts(variants: Variants) -> None:
    """Raise ValueError unless every variant answers the same prompts in the same order."""
    if not variants:
        raise ValueError("there is no variant to evaluate")
    first, *others = variants
    wanted = [trajectory.prompt.id for trajectory, _ in variants[first]]
    for name in others:
        found = [trajectory.prompt.id for trajectory, _ in variants[name]]
        if len(found) != len(wanted):
            raise ValueError(
                f"variants answer the same prompts: '{first}' has {len(wanted)}, '{name}' has {len(found)}"
            )
        for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
            if one != other:
                raise ValueError(
                    f"variants answer the same prompts in the same order: place {place} is '{one}' in '{first}' "
                    f"and '{other}' in '{name}'"
                )


def violated(breakdown: RewardBreakdown, sources: Infos) -> float:
    """Return 1 if any rule of any source is broken, 0 if none is, NaN if no rules scored the response."""
    scores = [breakdown.scores[name] for name, info in sources.items()
              if info.parts == "violations" and name in breakdown.scores]  # fmt: skip
    scored = [score for score in scores if not score.missing]
    return float(any(bool(score.parts) for score in scored)) if scored else math.nan


def _info(info: SourceInfo) -> dict[str, Any]:
    """Return what the report needs to know of a source; the names of its parts are in the variants' figures."""
    return {name: value for name, value in asdict(info).items() if name not in ("name", "part_names")}


def _compared(order: list[str], baseline: str) -> list[tuple[str, str]]:
    """The last variant against the baseline first; then the baseline against what it was made from."""
    if len(order) < 2:
        return []
    after = order[-1]
    before = baseline if baseline in order[:-1] else order[-2]
    place = order.index(before)
    return [(before, after)] + ([(order[place - 1], before)] if place else [])


def _variant(
    answers: Sequence[Answer], variants: Variants, sources: Infos, settings: dict[str, Any], max_unscored: float
) -> dict[str, Any]:
    trajectories = [trajectory for trajectory, _ in answers]
    failed = {name: sum(name in breakdown.failed for _, breakdown in answers) for name in sources}
    shown = {name: info for name, info in sources.items() if not above(failed[name], len(answers), max_unscored)}

    def figure(values: list[float], failed: int) -> dict[str, Any]:
        found = plain(mean_interval(values, **settings)) | {"withheld": False}
        return withheld(found) if above(failed, len(answers), max_unscored) else found

    unscored = sum(bool(breakdown.failed_in_total) for _, breakdown in answers)
    hits = [value for _, breakdown in answers if not math.isnan(value := violated(breakdown, shown))]
    return {
        "n": len(answers),
        "unscored": unscored,
        "total": figure(
            [math.nan if breakdown.failed_in_total else breakdown.total for _, breakdown in answers], unscored
        ),
        "sources": {
            name: figure([source_value(breakdown, name) for _, breakdown in answers], failed[name]) for name in sources
        },
        "violations": wilson_interval(sum(hits), len(hits), confidence=settings["confidence"]) if hits else None,
        "rules": _rules(answers, variants, shown, confidence=settings["confidence"]),
        "items": _items(answers, variants, shown),
        "tokens": _lengths([each.tokens for each in trajectories]),
        "words": _lengths([words(each) for each in trajectories]),
        "unfinished": _share(not each.finished for each in trajectories),
        "distinct": _distinct(trajectories),
    }


def _rules(
    answers: Sequence[Answer], variants: Variants, sources: Infos, *, confidence: float
) -> dict[str, Proportion]:
    """Return for each rule that any variant breaks the share of responses that break it."""
    shares = {}
    for name, info in sources.items():
        scored = [
            breakdown.scores[name].parts for _, breakdown in answers if not math.isnan(source_value(breakdown, name))
        ]
        if info.parts == "violations" and scored:
            for rule in _part_names(variants, name):
                broken = sum(rule in parts for parts in scored)
                shares[info.part(rule)] = wilson_interval(broken, len(scored), confidence=confidence)
    return shares


def _items(answers: Sequence[Answer], variants: Variants, sources: Infos) -> dict[str, float]:
    """Return for each rubric item that any variant was asked its mean points, over the responses that were judged."""
    means = {}
    for name, info in sources.items():
        judged = [
            breakdown.scores[name].parts for _, breakdown in answers if not math.isnan(source_value(breakdown, name))
        ]
        if info.parts == "items" and judged:
            for item in _part_names(variants, name):
                means[info.part(item)] = sum(parts.get(item, 0.0) for parts in judged) / len(judged)
    return means


def _part_names(variants: Variants, source: str) -> list[str]:
    return sorted({part for answers in variants.values() for _, breakdown in answers if source in breakdown.scores
                   for part in breakdown.scores[source].parts})  # fmt: skip


def _comparison(
    before: Sequence[Answer], after: Sequence[Answer], sources: Infos, settings: dict[str, Any], max_unscored: float
) -> dict[str, Any]:
    """Paired by prompt: where a prompt was answered several times, its answers are averaged first."""

    def pair(measure: Callable[[Answer], float]) -> tuple[list[float], list[float]]:
        return means_by_prompt(before, measure), means_by_prompt(after, measure)

    def compared(first: list[float], second: list[float], unscored: int = 0) -> dict[str, Any]:
        figure = plain(paired_comparison(first, second, **settings)) | {"unscored": unscored, "withheld": False}
        return withheld(figure) if above(unscored, len(first), max_unscored) else figure

    first, second, unscored = alike_totals(before, after)
    failed = {name: failed_prompts(before, after, name) for name in sources}
    shown = {name: info for name, info in sources.items() if not above(failed[name], len(first), max_unscored)}
    rates = pair(lambda answer: violated(answer[1], shown))
    fell = sum(one > other for one, other in zip(*rates, strict=True))
    rose = sum(one < other for one, other in zip(*rates, strict=True))
    ruled = sum(not math.isnan(one + other) for one, other in zip(*rates, strict=True))
    overall = compared(first, second, unscored)
    return {
        "total": overall,
        "sources": {name: compared(*pair(partial(_value_of, name=name)), failed[name]) for name in sources},
        "tokens": compared(*pair(lambda answer: float(answer[0].tokens))),
        "words": compared(*pair(lambda answer: float(words(answer[0])))),
        "violations": {"n": ruled, "fell": fell, "rose": rose, "p": exact_paired_test(fell, rose)} if ruled else None,
        "differences": [] if overall["withheld"] else [other - one for one, other in zip(first, second, strict=True)],
    }


def _value_of(answer: Answer, *, name: str) -> float:
    return source_value(answer[1], name)


def source_value(breakdown: RewardBreakdown, name: str) -> float:
    """Return the score of one source, NaN where it was not asked or gave none."""
    return breakdown.scores[name].value if name in breakdown.scores else math.nan


def words(trajectory: Trajectory) -> int:
    """Return the number of words of the response, by white space."""
    return len(trajectory.response.split())


def _lengths(values: list[int]) -> dict[str, float]:
    """Mean, and the 95th percentile as the value that at least 95 % do not exceed."""
    if not values:
        return {"mean": math.nan, "p95": math.nan}
    ordered = sorted(values)
    return {"mean": _mean(values), "p95": float(ordered[math.ceil(0.95 * len(ordered)) - 1])}


def _distinct(trajectories: Sequence[Trajectory]) -> float:
    """Share of different responses, capitals and white space aside. 1 where no two are the same."""
    different = {" ".join(each.response.casefold().split()) for each in trajectories}
    return len(different) / len(trajectories) if trajectories else math.nan


def _share(flags: Iterable[bool]) -> float:
    return _mean([float(flag) for flag in flags])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
