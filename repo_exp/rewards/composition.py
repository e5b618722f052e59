"""Make the composition of a reward visible: what each source says, and where it has no voice."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from repo_exp.types import RewardBreakdown

SOURCES = ("model", "judge", "rules")


def compose(
    breakdowns: Sequence[RewardBreakdown],
    *,
    n: float,
    dead_zone: float = 0.1,
    rules: Iterable[str] = (),
    items: Iterable[str] = (),
) -> dict[str, float]:
    """Return metrics of a batch; shares lie in [0, 1]. A batch of no replies has none.

    Args:
        breakdowns: what the replies are worth.
        n: the enhancement bound.
        dead_zone: |R_model| below this has next to nothing that judge and rules could scale.
        rules: names of all rules, so that one that nobody broke is there with 0.
        items: names of the rubric's questions; without an answer in the batch a question has no metric.

    ========================== =====================================================================
    reward/total, reward_std/…  mean and spread over replies with a total of which no score failed (of the population)
    composition/unscored        share without a total: they are left out of learning
    composition/failed          share of which a score failed: a source should have given one, and gave none
    reward/<source>             mean over replies that the source scored; unscored/<source>: share of the others
    reward/enhancement          of E, in points
    composition/saturated       |E_judge + E_func| >= n, so that a further point changes nothing
    composition/sign_conflict   the model likes what judge and rules do not, or the other way round
    composition/dead_zone       |R_model| < dead_zone
    composition/violations      share of the replies, of those the rules scored, that break any rule
    violations/<rule>           share that break this one
    items/<item>                mean points over the replies where it was answered
    ========================== =====================================================================
    """
    if not breakdowns:
        return {}
    metrics = _described("total", [math.nan if each.failed else each.total for each in breakdowns])
    del metrics["unscored/total"]
    metrics["composition/unscored"] = _share(math.isnan(each.total) for each in breakdowns)
    metrics["composition/failed"] = _share(bool(each.failed) for each in breakdowns)
    for source in SOURCES:
        scores = [each.sources[source].value for each in breakdowns if source in each.sources]
        if scores:
            metrics |= _described(source, scores)
    if any("judge" in each.sources or "rules" in each.sources for each in breakdowns):
        metrics |= _described("enhancement", [each.enhancement for each in breakdowns])
        del metrics["unscored/enhancement"]
        metrics["composition/saturated"] = _share(abs(each.enhancement) + each.clipped >= n for each in breakdowns)
    model = [(each.sources["model"].value, each.enhancement) for each in breakdowns if "model" in each.sources]
    model = [(value, e) for value, e in model if math.isfinite(value)]
    if model:
        metrics["composition/sign_conflict"] = _share(value * e < 0 for value, e in model)
        metrics["composition/dead_zone"] = _share(abs(value) < dead_zone for value, _ in model)
    return metrics | _violations(breakdowns, rules) | _items(breakdowns, items)


def failed_share(breakdowns: Sequence[RewardBreakdown], source: str) -> float:
    """Return the share of the replies to which the source should have given a score, and gave none."""
    return _share(source in each.failed for each in breakdowns)


def _violations(breakdowns: Sequence[RewardBreakdown], names: Iterable[str]) -> dict[str, float]:
    scored = [each for each in breakdowns if "rules" in each.sources and not each.sources["rules"].missing]
    if not scored:
        return {}
    parts = [each.sources["rules"].parts for each in scored]
    every = sorted({*names, *(name for part in parts for name in part)})
    return {"composition/violations": _share(bool(part) for part in parts)} | {
        f"violations/{name}": _share(name in part for part in parts) for name in every
    }


def _items(breakdowns: Sequence[RewardBreakdown], names: Iterable[str]) -> dict[str, float]:
    parts = [each.sources["judge"].parts for each in breakdowns if "judge" in each.sources]
    every = sorted({*names, *(name for part in parts for name in part)})
    points = {name: [part[name] for part in parts if name in part] for name in every}
    return {f"items/{name}": statistics.fmean(values) for name, values in points.items() if values}


def _described(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return mean, spread and share unscored; no mean where there is no value at all."""
    known = [value for value in values if math.isfinite(value)]
    described = {f"unscored/{name}": 1.0 - len(known) / len(values)}
    if known:
        described |= {f"reward/{name}": statistics.fmean(known), f"reward_std/{name}": statistics.pstdev(known)}
    return described


def _share(hits: Iterable[bool]) -> float:
    found = [bool(hit) for hit in hits]
    return sum(found) / len(found)
