"""Reward diagnostics: the scores of each source in a round, and how often a source cannot change the total."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from repo_exp.types import RewardBreakdown, SourceInfo

Infos = Mapping[str, SourceInfo]


def diagnostics(
    breakdowns: Sequence[RewardBreakdown], infos: Infos, *, n: float, dead_zone: float = 0.1
) -> dict[str, float]:
    """Return metrics of a round; shares lie in [0, 1]. A round without trajectories has none.

    Args:
        breakdowns: scores and total of each trajectory.
        infos: the sources by name. A rule that nobody broke is there with 0, since ``part_names`` lists it; a rubric
            item without an answer in the round has no metric.
        n: the enhancement bound.
        dead_zone: |R_base| below this leaves next to nothing that points could scale.

    ========================== =====================================================================
    reward/total, reward_std/…  mean and standard deviation (of the population) of the totals without a failed score
    composition/unscored        share without a total: they are not trained on
    composition/failed          share with a failed score: a source should have given one, and gave none
    reward/<source>             mean over trajectories that the source scored; unscored/<source>: share of the others
    reward/enhancement          of E, in points
    composition/saturated       |sum of points| >= n, so that a further point changes nothing
    composition/sign_conflict   R_base and E have different signs
    composition/dead_zone       |R_base| < dead_zone
    composition/violations      share of the trajectories that rules scored which break any rule
    violations/<rule>           share that break this rule
    items/<item>                mean points over the trajectories where it was answered
    ========================== =====================================================================

    R_base is the mean of the sources of unit "score". Rules and items of a source that does not have the usual name
    (rules, judge) are called <source>/<rule>.
    """
    if not breakdowns:
        return {}
    metrics = _moments("total", [math.nan if each.failed_in_total else each.total for each in breakdowns])
    del metrics["unscored/total"]
    metrics["composition/unscored"] = _share(math.isnan(each.total) for each in breakdowns)
    metrics["composition/failed"] = _share(bool(each.failed) for each in breakdowns)
    for name in infos:
        values = [each.scores[name].value for each in breakdowns if name in each.scores]
        if values:
            metrics |= _moments(name, values)
    if any(info.unit == "points" and name in each.scores for each in breakdowns for name, info in infos.items()):
        metrics |= _moments("enhancement", [each.enhancement for each in breakdowns])
        del metrics["unscored/enhancement"]
        metrics["composition/saturated"] = _share(abs(each.enhancement) + each.clipped >= n for each in breakdowns)
    base = [(value, each.enhancement) for each in breakdowns if math.isfinite(value := _base(each, infos))]
    if base:
        metrics["composition/sign_conflict"] = _share(value * e < 0 for value, e in base)
        metrics["composition/dead_zone"] = _share(abs(value) < dead_zone for value, _ in base)
    return metrics | _violations(breakdowns, infos) | _items(breakdowns, infos)


def failed_share(breakdowns: Sequence[RewardBreakdown], source: str) -> float:
    """Return the share of the trajectories to which the source should have given a score, and gave none."""
    return _share(source in each.failed for each in breakdowns)


def _base(breakdown: RewardBreakdown, infos: Infos) -> float:
    """Return the mean of the sources of unit "score"; NaN where one is missing, or there is none."""
    values = [breakdown.scores[name].value for name, info in infos.items()
              if info.unit == "score" and name in breakdown.scores]  # fmt: skip
    return statistics.fmean(values) if values else math.nan


def _of_parts(
    breakdowns: Sequence[RewardBreakdown], infos: Infos, kind: str
) -> Iterator[tuple[SourceInfo, list[Mapping[str, float]]]]:
    """Yield the sources whose scores are made of such parts, with the parts of each score that is not missing."""
    for name, info in infos.items():
        if info.parts == kind:
            scores = [each.scores[name] for each in breakdowns if name in each.scores]
            yield info, [score.parts for score in scores if not score.missing]


def _violations(breakdowns: Sequence[RewardBreakdown], infos: Infos) -> dict[str, float]:
    shares: dict[str, float] = {}
    for info, parts in _of_parts(breakdowns, infos, "violations"):
        names = sorted({*info.part_names, *(name for part in parts for name in part)})
        if parts:
            shares |= {f"violations/{info.part(name)}": _share(name in part for part in parts) for name in names}
    broken = [value for each in breakdowns if (value := violated(each, infos)) is not None]
    return ({"composition/violations": _share(broken)} if broken else {}) | shares


def violated(breakdown: RewardBreakdown, infos: Infos) -> bool | None:
    """Return whether a trajectory breaks any rule of any source; None where no rules scored it."""
    scores = [breakdown.scores[name] for name, info in infos.items()
              if info.parts == "violations" and name in breakdown.scores]  # fmt: skip
    scored = [score for score in scores if not score.missing]
    return any(bool(score.parts) for score in scored) if scored else None


def _items(breakdowns: Sequence[RewardBreakdown], infos: Infos) -> dict[str, float]:
    means: dict[str, float] = {}
    for info, parts in _of_parts(breakdowns, infos, "items"):
        for name in sorted({*info.part_names, *(name for part in parts for name in part)}):
            if points := [part[name] for part in parts if name in part]:
                means[f"items/{info.part(name)}"] = statistics.fmean(points)
    return means


def _moments(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return mean, standard deviation and share unscored; no mean where there is no value at all."""
    present = [value for value in values if math.isfinite(value)]
    moments = {f"unscored/{name}": 1.0 - len(present) / len(values)}
    if present:
        moments |= {f"reward/{name}": statistics.fmean(present), f"reward_std/{name}": statistics.pstdev(present)}
    return moments


def _share(flags: Iterable[bool]) -> float:
    found = [bool(flag) for flag in flags]
    return sum(found) / len(found)
