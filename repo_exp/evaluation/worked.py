"""One response's reward, step by step: from the scores of the sources to R, and the reward in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from repo_exp.evaluation.names import SourceNames, capital
from repo_exp.evaluation.numbers import number, points

Json = Mapping[str, Any]


def worked_steps(example: Json, reward: Json, names: SourceNames) -> dict[str, Any]:
    """Return the lines that lead from the sources to R, and whether they give the response's own total.

    The response is one of the evaluation, so its total is the measured one. The last lines are shown only where the
    formula of the enhancement gives it. ``training`` is the reward that training would have used, where that differs.
    """
    return {
        **_measured(example, reward.get("measured") or reward, names),
        "training": training_line(example, reward, names),
    }


def training_line(example: Json, reward: Json, names: SourceNames) -> dict[str, str] | None:
    """Return the reward that the same response would have had in training: ``value`` and ``how``.

    None where it is the measured total, or where the policy was trained without a reward.
    """
    measured, rule = reward.get("measured"), reward.get("combine", "enhancement")
    if not measured or reward.get("learns_from", "own responses") != "own responses":
        return None
    asked = [name for name in reward["sources"] if name in example["sources"]]
    bound = reward["bound"]
    same_bound = not names.points(asked) or bound == measured["bound"]
    if rule == "enhancement" and set(asked) == set(measured["sources"]) and same_bound:
        return None
    if reward.get("formula") or rule not in ("enhancement", "model_only"):
        how = reward.get("formula") or f"combined by {rule}, which the evaluation does not use"
        return {"value": "a different value", "how": how}
    total, how = _enhancement(example, asked if rule == "enhancement" else names.scores(asked), bound, names)
    return {"value": number(total, 3), "how": how}


def _measured(example: Json, measured: Json, names: SourceNames) -> dict[str, Any]:
    bound, sources = measured.get("bound"), example["sources"]
    lines = [_source_line(name, sources[name], names) for name in sources]
    counted = [name for name in measured.get("sources") or list(sources) if name in sources]
    if not bound or example["total"] is None:
        return {"lines": lines, "holds": False}
    total, how = _enhancement(example, counted, bound, names)
    rule = measured.get("combine", "enhancement")
    if rule != "enhancement" or total is None or not math.isclose(total, example["total"], abs_tol=1e-4):
        return {"lines": lines, "holds": False}
    if terms := names.points(counted):
        e = _clipped(example, terms, bound)
        summed = " ".join(_plus(_counted(sources[name])) for name in terms[1:])
        inside = f"{points(_counted(sources[terms[0]]))} {summed}".strip()
        lines.append({"symbol": "E", "value": points(e), "detail": [], "how": f"clip({inside}, −{bound:g}, {bound:g})"})
    lines.append({"symbol": "R", "value": number(example["total"], 3), "how": how, "detail": [], "final": True})
    return {"lines": lines, "holds": True}


def _enhancement(example: Json, asked: list[str], bound: float, names: SourceNames) -> tuple[float | None, str]:
    """Return the total of these sources by the enhancement, and the formula with its numbers."""
    base = [example["sources"][name]["value"] for name in names.scores(asked)]
    e = _clipped(example, names.points(asked), bound)
    if not base:
        return e / bound, f"{points(e)} / {bound:g}"
    if any(value is None for value in base):
        return None, "the reward model gave no score"
    mean = sum(base) / len(base)
    if not names.points(asked):
        return mean, f"{' + '.join(map(names.symbol, names.scores(asked)))} alone"
    return mean + abs(mean) * e / bound, f"{number(mean, 3)} + |{number(mean, 3)}| × ({points(e)}) / {bound:g}"


def _clipped(example: Json, terms: list[str], bound: float) -> float:
    summed = sum(_counted(example["sources"][name]) for name in terms)
    return max(-bound, min(bound, summed))


def _source_line(name: str, score: Json, names: SourceNames) -> dict[str, Any]:
    detail = [{"name": part, "points": points(value)} for part, value in (score.get("parts") or {}).items() if value]
    line = {"symbol": names.symbol(name), "detail": detail}
    if score["value"] is None:
        neutral = "" if names.is_score(name) else ": counts as 0 points"
        return line | {"value": "–", "how": f"no score ({score.get('reason') or 'no reason'}){neutral}"}
    if names.is_score(name):
        how = f"{capital(names.label(name))}; 0 is the mean of the SFT policy"
        return line | {"value": number(score["value"], 3), "how": how, "detail": []}
    how = {
        "items": "points of the rubric items that apply" if detail else "no rubric item applies",
        "violations": "points of the broken rules" if detail else "no rule is broken",
    }.get(names.parts(name), f"points of the source {names.label(name)}")
    return line | {"value": points(score["value"]), "how": how}


def _counted(score: Json) -> float:
    """Return points as E counts them: 0 where there is no score."""
    return 0.0 if score["value"] is None else float(score["value"])


def _plus(value: float) -> str:
    return f"{'−' if value < 0 else '+'} {points(abs(value)).removeprefix('+')}"
