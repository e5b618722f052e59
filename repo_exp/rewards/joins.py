"""How the sources become one number: name -> join.

enhancement     R = R_model + |R_model| E / n;  without a reward model E / n
model_only      R = R_model;  E is still worked out, for the record
weighted_sum    R = w_model R_model + (w_judge R_judge + w_rules R_rules) / n
gated           the weighted sum where the gate's source reaches a threshold, otherwise a floor
lexicographic   sources in an order of importance; R = share of the others beaten - share lost to
decoupled       R = sum of w_k z_k, each source normalised among the replies to its context

A join is a public function here. Its first parameter is ``sources``, one reply's, or ``batch`` and ``groups``, those of
all replies and which of them answer the same context; its knobs follow the star.

One rule holds for all of them: **no advantage ever arises from a score that is not there.** Where a missing score has a
neutral value (E = 0, a z of 0, a comparison that decides nothing) it takes that, and the reply says what its total
``lacks``; where it has none there is no total, and a reply without a total takes no part in learning. Totals that lack
different scores are not of one measure, so methods that compare replies compare those that lack the same
(``training/module.py``).
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypedDict

from repo_exp.core import standing
from repo_exp.core.enhancement import enhance_one
from repo_exp.errors import Problem, RewardError, did_you_mean
from repo_exp.types import Score


class Joined(NamedTuple):
    """The total of a reply, its enhancement E, the points that the clip took off the sum, and what the total lacks."""

    total: float
    enhancement: float
    clipped: float
    lacks: tuple[str, ...] = ()


Sources = Mapping[str, Score]
Groups = Sequence[Hashable]
Join = Callable[[Sequence[Sources], Groups], list[Joined]]
Weights = Mapping[str, float]
KNOBS = ("n", "weights", "gate", "order", "tolerance")  # what a join may ask for: keys of ``reward``


class Gate(TypedDict):
    """Which source opens the gate, from which score on, and what a reply before a shut gate is worth."""

    source: str
    threshold: float
    otherwise: float


# -- one reply at a time -----------------------------------------------------------------------------------------------


def enhancement(sources: Sources, *, n: float) -> Joined:
    """R = R_model + |R_model| E / n with E = clip(E_judge + E_func, -n, n).

    A judge or rules without a score count as 0. Without a reward model among the sources, R = E / n, and
    NaN where neither has a score. A reward model that was asked and has no score leaves no total: NaN.
    """
    e, clipped = _enhancement(sources, n=n)
    if "model" in sources:
        total, _ = enhance_one(sources["model"].value, _points(sources, "judge"), _points(sources, "rules"), n=n)
        return Joined(total, e, clipped, _missing(sources))
    return Joined(math.nan if _nothing(sources) else e / n, e, clipped, _missing(sources))


def model_only(sources: Sources, *, n: float) -> Joined:
    """R = R_model. Judge and rules are on the record, but have no say."""
    value = sources["model"].value if "model" in sources else math.nan
    return Joined(value, *_enhancement(sources, n=n))


def weighted_sum(sources: Sources, *, n: float, weights: Weights) -> Joined:
    """R = w_model R_model + (w_judge R_judge + w_rules R_rules) / n: points over n are of the reward model's size.

    The sum of what is there would call a reply better or worse for a judge that timed out, so a missing score
    leaves no total: NaN. A source of weight 0 has no say, there or not.
    """
    scaled = {name: score.value / (1.0 if name == "model" else n) for name, score in sources.items()}
    total = sum(weight * value for name, value in scaled.items() if (weight := weights.get(name, 1.0)))
    return Joined(total, *_enhancement(sources, n=n))


def gated(sources: Sources, *, n: float, weights: Weights, gate: Gate) -> Joined:
    """R = the weighted sum where the gate's source is at least ``threshold``, else ``otherwise`` (after GDPO).

    Weights alone set no priority where one source is easier to please than another; a gate does. Whether a gate without
    a score is open nobody knows, so there is no total: NaN. Before a shut gate the other sources are not asked.
    """
    key = sources[gate["source"]].value if gate["source"] in sources else math.nan
    if key < gate["threshold"]:
        return Joined(gate["otherwise"], *_enhancement(sources, n=n))
    summed = weighted_sum(sources, n=n, weights=weights)
    return summed._replace(total=math.nan) if math.isnan(key) else summed


# -- the whole batch ---------------------------------------------------------------------------------------------------


def lexicographic(
    batch: Sequence[Sources], groups: Groups, *, n: float, order: Sequence[str], tolerance: Weights
) -> list[Joined]:
    """R = share of the other replies to its context that it beats - share that beats it, in [-1, 1].

    The first source of ``order`` in which two replies differ by more than its tolerance decides between them; later
    ones are not asked. A source that has no score for one of the two decides nothing.
    """
    names = [name for name in order if name in batch[0]]
    tolerances = [tolerance.get(name, 0.0) for name in names]
    totals = [0.0] * len(batch)
    for members in standing.compared_with(groups):
        scores = [[batch[i][name].value for i in members] for name in names]
        for i, total in zip(members, standing.lexicographic(scores, tolerance_K=tolerances), strict=True):
            totals[i] = total
    return _told(batch, totals, names, n=n)


def decoupled(batch: Sequence[Sources], groups: Groups, *, n: float, weights: Weights) -> list[Joined]:
    """R = sum of w_k z_k, where z_k is source k normalised among the replies to the context (GDPO's first step).

    Every source has the same unit then, whatever its points are. A score that is not there gives a z of 0 and counts
    in no statistic. A source of weight 0 has no say.
    """
    names = [name for name in batch[0] if weights.get(name, 1.0)]
    totals = [0.0] * len(batch)
    for members in standing.compared_with(groups):
        for name in names:
            z_scores = standing.z_scores([batch[i][name].value for i in members])
            for i, z in zip(members, z_scores, strict=True):
                totals[i] += weights.get(name, 1.0) * z
    return _told(batch, totals, names, n=n)


# -- finding them ------------------------------------------------------------------------------------------------------


def join_names() -> list[str]:
    """Return the names of all joins."""
    return sorted(_joins())


def knobs_of(name: str) -> tuple[str, ...]:
    """Return the keys of ``reward`` that this join asks for."""
    return _knobs(_joins()[name])


def heard_by(name: str, sources: Sequence[str], weights: Weights) -> tuple[str, ...]:
    """Return which of the sources can change a total of this join; the others would be asked for nothing."""
    if name == "model_only":
        return tuple(source for source in sources if source == "model")
    if name in ("weighted_sum", "decoupled"):
        return tuple(source for source in sources if weights.get(source, 1.0))
    return tuple(sources)


def build_join(name: str, *, n: float, origin: str = "reward.join", **knobs: Any) -> Join:
    """Return the join of that name: the sources of all replies and the groups they belong to -> one total each.

    Args:
        knobs: those of ``KNOBS`` that the join asks for; what it does not ask for is left aside. ``weights`` and
            ``tolerance`` may be left out or name some sources only: 1 and 0 for each of the others.

    Raises:
        RewardError: there is no such join, ``n`` is not a positive number, or a knob that the join needs is not given.
    """
    problems = []
    if name not in _joins():
        problems.append(Problem(origin, f"there is no join '{name}'", did_you_mean(name, _joins())))
    if not (n > 0 and math.isfinite(n)):
        problems.append(Problem("reward.n", f"{n} is no bound", "a number above 0; 100 is the paper's"))
    given = {"weights": {}, "tolerance": {}} | knobs | {"n": n}
    for knob in knobs_of(name) if not problems else ():
        if knob not in given:
            problems.append(Problem(f"reward.{knob}", f"the join '{name}' needs it", "a value, as in conf/reward/"))
    if problems:
        raise RewardError("The sources cannot be joined:", problems)
    join = partial(_joins()[name], **{knob: given[knob] for knob in knobs_of(name)})
    return join if "groups" in inspect.signature(_joins()[name]).parameters else partial(_one_by_one, join)


def _one_by_one(join: Callable[[Sources], Joined], batch: Sequence[Sources], groups: Groups) -> list[Joined]:
    return [join(sources) for sources in batch]


def _joins() -> dict[str, Callable[..., Any]]:
    here = sys.modules[__name__]
    return {
        name: function
        for name, function in inspect.getmembers(here, inspect.isfunction)
        if function.__module__ == __name__ and not name.startswith("_") and "n" in _knobs(function)
    }


def _knobs(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the parameters behind the star; none where the first one is neither ``sources`` nor ``batch``."""
    parameters = inspect.signature(function).parameters
    if next(iter(parameters), "") not in ("sources", "batch"):
        return ()
    return tuple(name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY)


def _told(batch: Sequence[Sources], totals: Sequence[float], names: Sequence[str], *, n: float) -> list[Joined]:
    """Return the totals of a batch join; a reply of which none of ``names`` has a score has none."""
    said = [{name: sources[name] for name in names} for sources in batch]
    return [
        Joined(math.nan if _nothing(mine) else total, *_enhancement(sources, n=n), _missing(mine))
        for sources, mine, total in zip(batch, said, totals, strict=True)
    ]


def _missing(sources: Sources) -> tuple[str, ...]:
    return tuple(sorted(name for name, score in sources.items() if score.missing))


def _nothing(sources: Sources) -> bool:
    return all(score.missing for score in sources.values())


def _points(sources: Sources, name: str) -> float:
    return sources[name].value if name in sources else math.nan


def _enhancement(sources: Sources, *, n: float) -> tuple[float, float]:
    """Return E and how much the clip took off the sum."""
    judge, rules = _points(sources, "judge"), _points(sources, "rules")
    _, e = enhance_one(0.0, judge, rules, n=n)
    raw = sum(points for points in (judge, rules) if not math.isnan(points))
    return e, abs(raw - e)
