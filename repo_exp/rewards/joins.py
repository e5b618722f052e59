"""How the sources become one number: name -> join. A join is a public function here with knobs ``n``, ``weights``.

enhancement     R = R_model + |R_model| E / n;  without a reward model E / n
model_only      R = R_model;  E is still worked out, for the record
weighted_sum    R = w_model R_model + (w_judge R_judge + w_rules R_rules) / n

One rule holds for all of them: nobody is credited or blamed for a score that is not there. Where a missing score
has a neutral value (no enhancement) it takes that; where it has none there is no total, and a reply without a total
takes no part in learning.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from repo_exp.core.enhancement import enhance_one
from repo_exp.errors import Problem, RewardError, did_you_mean
from repo_exp.types import Score


class Joined(NamedTuple):
    """The total of a reply, its enhancement E, and the points that the clip took off the sum."""

    total: float
    enhancement: float
    clipped: float


Join = Callable[[Mapping[str, Score]], Joined]
Weights = Mapping[str, float]


def enhancement(sources: Mapping[str, Score], *, n: float) -> Joined:
    """R = R_model + |R_model| E / n with E = clip(E_judge + E_func, -n, n).

    A judge or rules without a score count as 0. Without a reward model among the sources, R = E / n, and
    NaN where neither has a score. A reward model that was asked and has no score leaves no total: NaN.
    """
    e, clipped = _enhancement(sources, n=n)
    if "model" in sources:
        total, _ = enhance_one(sources["model"].value, _points(sources, "judge"), _points(sources, "rules"), n=n)
        return Joined(total, e, clipped)
    return Joined(math.nan if all(score.missing for score in sources.values()) else e / n, e, clipped)


def model_only(sources: Mapping[str, Score], *, n: float) -> Joined:
    """R = R_model. Judge and rules are on the record, but have no say."""
    value = sources["model"].value if "model" in sources else math.nan
    return Joined(value, *_enhancement(sources, n=n))


def weighted_sum(sources: Mapping[str, Score], *, n: float, weights: Weights) -> Joined:
    """R = w_model R_model + (w_judge R_judge + w_rules R_rules) / n: points over n are of the reward model's size.

    The sum of what is there would call a reply better or worse for a judge that timed out, so a missing score
    leaves no total: NaN.
    """
    scaled = {name: score.value / (1.0 if name == "model" else n) for name, score in sources.items()}
    total = sum(weights.get(name, 1.0) * value for name, value in scaled.items())
    return Joined(total, *_enhancement(sources, n=n))


def join_names() -> list[str]:
    """Return the names of all joins."""
    return sorted(_joins())


def build_join(name: str, *, n: float, weights: Weights | None = None, origin: str = "reward.join") -> Join:
    """Return the join of that name with its bound, and its weights by source (default: 1 each).

    Raises:
        RewardError: there is no such join, or ``n`` is not a positive number.
    """
    problems = []
    if name not in _joins():
        problems.append(Problem(origin, f"there is no join '{name}'", did_you_mean(name, _joins())))
    if not (n > 0 and math.isfinite(n)):
        problems.append(Problem("reward.n", f"{n} is no bound", "a number above 0; 100 is the paper's"))
    if problems:
        raise RewardError("The sources cannot be joined:", problems)
    join = _joins()[name]
    knobs = {"n": n, "weights": weights or {}}
    return partial(join, **{knob: knobs[knob] for knob in _knobs(join)})


def _joins() -> dict[str, Callable[..., Joined]]:
    here = sys.modules[__name__]
    return {
        name: function
        for name, function in inspect.getmembers(here, inspect.isfunction)
        if function.__module__ == __name__
        and _knobs(function) in (["n"], ["n", "weights"])
        and not name.startswith("_")
    }


def _knobs(function: Callable[..., Any]) -> list[str]:
    """Return the parameters behind ``sources``; none where that is not the first one."""
    parameters = list(inspect.signature(function).parameters)
    return parameters[1:] if parameters[:1] == ["sources"] else []


def _points(sources: Mapping[str, Score], name: str) -> float:
    return sources[name].value if name in sources else math.nan


def _enhancement(sources: Mapping[str, Score], *, n: float) -> tuple[float, float]:
    """Return E and how much the clip took off the sum."""
    judge, rules = _points(sources, "judge"), _points(sources, "rules")
    _, e = enhance_one(0.0, judge, rules, n=n)
    raw = sum(points for points in (judge, rules) if not math.isnan(points))
    return e, abs(raw - e)
