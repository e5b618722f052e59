"""What the page shows, worked out from the report's data: rows of tables, steps of the worked example, shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from repo_exp.evaluation.drawing import series
from repo_exp.evaluation.statistics import wilson_interval
from repo_exp.evaluation.verdict import p_value, percent, reasons

SYMBOLS = {"model": "R_model", "judge": "E_judge", "rules": "E_func"}
SOURCE_NAMES = {"model": "Reward model", "judge": "Judge", "rules": "Rules"}

COMPOSITION = (
    (
        "composition/saturated",
        "Saturation",
        "Judge and rules together reached the bound n; what lies beyond it teaches nothing.",
    ),
    (
        "composition/sign_conflict",
        "Sign conflict",
        "The reward model likes the reply where judge and rules do not, or the other way round.",
    ),
    (
        "composition/dead_zone",
        "Dead zone",
        "The reward model is near 0, so judge and rules, which scale it, have no voice.",
    ),
    (
        "composition/unscored",
        "Unscored",
        "There is no total, for want of a score; the policy learns nothing from the reply.",
    ),
    (
        "composition/failed",
        "Partly unscored",
        "A source that should have given a score gave none (a judge that failed, say). Where the join has a neutral "
        "value, it counts as that, never as a bad grade.",
    ),
    ("composition/violations", "Violations", "The reply breaks at least one rule."),
)


def number(value: float | None, digits: int = 2) -> str:
    """1.234 -> '1.23'; a true minus sign; '-' (a dash) for what is not there."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """0.5 -> '+0.50'."""
    text = number(value, digits)
    return text if text.startswith(("−", "–")) or value is None or float(text) == 0 else f"+{text}"


def points(value: float | None) -> str:
    """Points of judge and rules: whole numbers stay whole. 20.0 -> '+20'."""
    whole = value is not None and math.isfinite(value) and float(value).is_integer()
    return signed(value, 0 if whole else 1)


def duration(seconds: float | None) -> str:
    """75 -> '1 min 15 s'."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def arm_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of arms: a cell per arm, then the difference of the first comparison and its p."""
    arms = [results["arms"][name] for name in results["order"]]
    comparison = results["comparisons"][0] if results["comparisons"] else None
    rows = [_mean_row("Total reward R", "", [arm["total"] for arm in arms], comparison and comparison["total"])]
    for name in results["sources"]:
        digits = 2 if name == "model" else 1
        rows.append(
            _mean_row(
                SOURCE_NAMES[name],
                SYMBOLS[name],
                [arm["sources"].get(name) for arm in arms],
                comparison and comparison["sources"].get(name),
                digits,
            )
        )
    if any(arm["violations"] for arm in arms):
        rows.append(_violation_row(arms, comparison))
    rows.append(_length_row("Tokens in a reply", [arm["tokens"] for arm in arms], comparison and comparison["tokens"]))
    rows.append(_length_row("Words in a reply", [arm["words"] for arm in arms], comparison and comparison["words"]))
    rows.append(_share_row("Replies cut off by the token budget", [arm["unfinished"] for arm in arms]))
    rows.append(_share_row("Different replies", [arm["distinct"] for arm in arms]))
    return rows


def tiles(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The few figures at the top: total, judge points, violations, length; each by arm."""
    arms = results["arms"]

    def tile(label: str, show, unit: str = "") -> dict[str, Any]:
        return {
            "label": label,
            "unit": unit,
            "values": [{"arm": name, "text": show(arms[name])} for name in results["order"]],
        }

    shown = [tile("Mean total reward", lambda arm: _tile_mean(arm["total"], number))]
    if any(arm["violations"] for arm in arms.values()):
        shown.append(
            tile(
                "Replies that break a rule",
                lambda arm: percent(arm["violations"]["share"]) if arm["violations"] else "–",
            )
        )
    if "judge" in results["sources"]:
        shown.append(tile("Mean points of the judge", lambda arm: points_mean(arm["sources"].get("judge"))))
    shown.append(tile("Mean tokens in a reply", lambda arm: number(arm["tokens"]["mean"], 0)))
    return shown


def points_mean(cell: Mapping[str, Any] | None) -> str:
    """Mean points with one decimal."""
    return _tile_mean(cell, lambda mean: signed(mean, 1)) if cell else "–"


def _tile_mean(cell: Mapping[str, Any], show) -> str:
    """A mean, and beside it how many values are missing."""
    shown = "withheld" if cell["withheld"] else show(cell["mean"])
    return f"{shown} ({cell['missing']} unscored)" if cell["missing"] else shown


def unscored_rows(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The sources that gave no score where they should have, how often, and why."""
    return [
        {"source": SOURCE_NAMES[name], "count": f"{failed['replies']} of {failed['of']}", "why": reasons(failed)}
        for name, failed in results["unscored"].items()
    ]


def worked_steps(example: Mapping[str, Any], reward: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lines that lead from the sources to R, and whether they give the reply's own total.

    The reply is one of the evaluation, so its total is what was measured. The last lines are shown only where the
    arithmetic of the enhancement gives it. ``learnt`` says what the learner would have seen, where that differs.
    """
    return {**_measured_steps(example, reward.get("measured") or reward), "learnt": learnt_line(example, reward)}


def learnt_line(example: Mapping[str, Any], reward: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the reward that the same reply would have had while learning: ``value`` and ``how``.

    None where it is the measured total, or where the policy learnt from no reward.
    """
    measured, join = reward.get("measured"), reward.get("join", "enhancement")
    if not measured or reward.get("learns_from", "own replies") != "own replies":
        return None
    heard = [name for name in SYMBOLS if name in reward["sources"] and name in example["sources"]]
    points_heard = [name for name in heard if name != "model"]
    same_bound = not points_heard or reward["bound"] == measured["bound"]
    if join == "enhancement" and set(heard) == set(measured["sources"]) and same_bound:
        return None
    if reward.get("formula") or join not in ("enhancement", "model_only"):
        how = reward.get("formula") or f"joined by the rule {join}, which the measure does not use"
        return {"value": "another figure", "how": how}
    model = example["sources"]["model"]["value"] if "model" in heard else None
    if "model" in heard and model is None:
        return {"value": "–", "how": "the reward model gave no score"}
    if not points_heard:
        return {"value": number(model, 3), "how": "R_model alone"}
    bound = reward["bound"]
    summed = sum(_counted(example["sources"][name]) for name in points_heard)
    raised = max(-bound, min(bound, summed))
    if "model" not in heard:
        return {"value": number(raised / bound, 3), "how": f"{points(raised)} / {bound:g}"}
    value = model + abs(model) * raised / bound
    return {
        "value": number(value, 3),
        "how": f"{number(model, 3)} + |{number(model, 3)}| × ({points(raised)}) / {bound:g}",
    }


def _measured_steps(example: Mapping[str, Any], reward: Mapping[str, Any]) -> dict[str, Any]:
    bound, sources = reward.get("bound"), example["sources"]
    lines = [_source_line(name, sources[name]) for name in SYMBOLS if name in sources]
    judge, rules = (_counted(sources.get(name)) for name in ("judge", "rules"))
    model = sources["model"]["value"] if "model" in sources else None
    total = example["total"]
    if not bound or total is None:
        return {"lines": lines, "holds": False}
    raised = max(-bound, min(bound, judge + rules))
    if "model" not in sources:
        expected, formula = raised / bound, f"{points(raised)} / {bound:g}"
    elif model is None:
        return {"lines": lines, "holds": False}
    else:
        expected = model + abs(model) * raised / bound
        formula = f"{number(model, 3)} + |{number(model, 3)}| × ({points(raised)}) / {bound:g}"
    if reward.get("join", "enhancement") != "enhancement" or not math.isclose(expected, total, abs_tol=1e-4):
        return {"lines": lines, "holds": False}
    if "judge" in sources or "rules" in sources:
        lines.append(
            {
                "symbol": "E",
                "value": points(raised),
                "detail": [],
                "how": f"clip({points(judge)} {_plus(rules)}, −{bound:g}, {bound:g})",
            }
        )
    lines.append({"symbol": "R", "value": number(total, 3), "how": formula, "detail": [], "final": True})
    return {"lines": lines, "holds": True}


def composition_rows(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Mean share over the first and the last fifth of the training steps, with what it means."""
    rows = []
    for name, title, meaning in COMPOSITION:
        _, values = series(metrics, "policy", name)
        if values:
            fifth = max(1, len(values) // 5)
            first, last = (sum(part) / len(part) for part in (values[:fifth], values[-fifth:]))
            rows.append({"title": title, "meaning": meaning, "first": percent(first), "last": percent(last)})
    return rows


def accuracy_rows(instruments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reward model beside what needs no model, on the same pairs; then by kind of pair."""
    quality = instruments.get("reward_model") or {}
    if not quality.get("pairs"):
        return []
    rows = [("Reward model", quality["correct"], quality["pairs"], "own")]
    rows += [
        (f"Baseline: {name}", correct, quality["pairs"], "baseline")
        for name, correct in (quality.get("baselines") or {}).items()
        if correct is not None
    ]
    rows += [
        (f"Reward model on: {kind}", cell["correct"], cell["pairs"], "kind")
        for kind, cell in (quality.get("kinds") or {}).items()
        if cell["pairs"]
    ]
    return [{"label": label, "role": role, "n": n, **_wilson(correct, n)} for label, correct, n, role in rows]


def agreement_rows(instruments: Mapping[str, Any], questions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The judge's agreement with known answers by item, beside always giving the commoner answer."""
    rows = []
    for cell in instruments.get("judge") or []:
        if cell["n"]:
            positives = cell.get("positives")
            commoner = None if positives is None else max(positives, cell["n"] - positives) / cell["n"]
            rows.append(
                {
                    "label": cell["item"],
                    "question": questions.get(cell["item"], ""),
                    "n": cell["n"],
                    "commoner": percent(commoner) if commoner is not None else "–",
                    "ranked": percent(cell["ranked"]) if cell.get("ranked") is not None else "–",
                    **_wilson(cell["agreed"], cell["n"]),
                }
            )
    return rows


def _wilson(successes: float, n: int) -> dict[str, Any]:
    cell = wilson_interval(successes, n)
    return {
        "text": percent(cell.share),
        "interval": f"{percent(cell.low)} to {percent(cell.high)}",
        "share": cell.share,
        "low": cell.low,
        "high": cell.high,
    }


def _mean_row(label: str, symbol: str, cells: list, comparison: Mapping[str, Any] | None, digits: int = 2) -> dict:
    row = {"label": label, "symbol": symbol, "cells": [_mean_cell(cell, digits) for cell in cells]}
    return {**row, **_difference(comparison, digits, good=1)}


def _mean_cell(cell: Mapping[str, Any] | None, digits: int) -> dict[str, str]:
    if not cell or cell["mean"] is None:
        return {
            "main": "withheld" if cell and cell["withheld"] else "–",
            "sub": f"{cell['missing']} unscored" if cell and cell["missing"] else "",
        }
    sub = "" if cell["low"] is None else f"{number(cell['low'], digits)} to {number(cell['high'], digits)}"
    if cell["missing"]:
        sub += f"{' · ' if sub else ''}{cell['missing']} unscored"
    return {"main": number(cell["mean"], digits), "sub": sub}


def _violation_row(arms: list, comparison: Mapping[str, Any] | None) -> dict[str, Any]:
    cells = []
    for arm in arms:
        cell = arm["violations"]
        cells.append(
            {"main": percent(cell["share"]), "sub": f"{percent(cell['low'])} to {percent(cell['high'])}"}
            if cell
            else {"main": "–", "sub": ""}
        )
    row = {
        "label": "Replies that break a rule",
        "symbol": "",
        "cells": cells,
        "difference": "–",
        "interval": "",
        "p": "",
        "tone": "",
    }
    test = comparison and comparison["violations"]
    if test:
        change = test["rose"] - test["fell"]
        tone = "" if test["p"] >= 0.05 else "good" if change < 0 else "bad"
        row |= {
            "difference": signed(100 * change / test["n"], 0) + " pp",
            "p": p_value(test["p"]),
            "tone": tone,
            "interval": f"{test['fell']} mended, {test['rose']} new",
        }
    return row


def _length_row(label: str, cells: list, comparison: Mapping[str, Any] | None) -> dict[str, Any]:
    shown = [{"main": number(cell["mean"], 1), "sub": f"95 % at most {number(cell['p95'], 0)}"} for cell in cells]
    return {"label": label, "symbol": "", "cells": shown, **_difference(comparison, 1, good=0)}


def _share_row(label: str, shares: list[float | None]) -> dict[str, Any]:
    return {
        "label": label,
        "symbol": "",
        "cells": [{"main": percent(share), "sub": ""} for share in shares],
        "difference": "",
        "interval": "",
        "p": "",
        "tone": "",
    }


def _difference(comparison: Mapping[str, Any] | None, digits: int, *, good: int) -> dict[str, str]:
    """``good``: the sign of a welcome difference, 0 where neither is."""
    if comparison and comparison["withheld"]:
        unscored = f"{comparison['unscored']} contexts unscored"
        return {"difference": "withheld", "interval": unscored, "p": "", "tone": ""}
    if not comparison or comparison["difference"] is None:
        return {"difference": "–" if comparison else "", "interval": "", "p": "", "tone": ""}
    interval = ""
    if comparison["low"] is not None:
        interval = f"{signed(comparison['low'], digits)} to {signed(comparison['high'], digits)}"
    if comparison["unscored"]:
        interval += f"{' · ' if interval else ''}n = {comparison['n']}, {comparison['unscored']} unscored"
    clear = comparison["p"] is not None and comparison["p"] < 0.05
    tone = ("good" if comparison["difference"] * good > 0 else "bad") if clear and good else ""
    return {
        "difference": signed(comparison["difference"], digits),
        "interval": interval,
        "p": p_value(comparison["p"]),
        "tone": tone,
    }


def _source_line(name: str, score: Mapping[str, Any]) -> dict[str, Any]:
    detail = [{"name": part, "points": points(value)} for part, value in (score.get("parts") or {}).items() if value]
    if score["value"] is None:
        how = f"no score ({score.get('reason') or 'no reason given'}): counts as 0 points"
        return {"symbol": SYMBOLS[name], "value": "–", "how": how, "detail": detail}
    if name == "model":
        how = "the reward model reads dialogue and reply; 0 is what the SFT policy gets on average"
        return {"symbol": SYMBOLS[name], "value": number(score["value"], 3), "how": how, "detail": []}
    how = "points of the rubric items that apply" if name == "judge" else "points of the rules that are broken"
    if not detail:
        how = "no rubric item applies" if name == "judge" else "no rule is broken"
    return {"symbol": SYMBOLS[name], "value": points(score["value"]), "how": how, "detail": detail}


def _counted(score: Mapping[str, Any] | None) -> float:
    """A source that was not asked, or gave no score, counts as 0."""
    return 0.0 if score is None or score["value"] is None else score["value"]


def _plus(value: float) -> str:
    return f"{'−' if value < 0 else '+'} {points(abs(value)).removeprefix('+')}"
