"""The content of the page, computed from the report's data: rows of tables, and the figures at the top."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from repo_exp.evaluation.drawing import series
from repo_exp.evaluation.names import SourceNames, capital
from repo_exp.evaluation.numbers import number, p_value, percent, signed
from repo_exp.evaluation.statistics import wilson_interval
from repo_exp.evaluation.verdict import reasons

DIAGNOSTICS = (
    (
        "composition/saturated",
        "Saturation",
        "The sum of the points reached the bound n; points beyond it have no effect.",
    ),
    (
        "composition/sign_conflict",
        "Sign conflict",
        "The reward model rates the response above average and the points are negative, or the other way round.",
    ),
    (
        "composition/dead_zone",
        "Dead zone",
        "The reward model's score is near 0, so the points, which scale it, have almost no effect.",
    ),
    (
        "composition/unscored",
        "Unscored",
        "There is no total, because a score is missing; the response is not trained on.",
    ),
    (
        "composition/failed",
        "Partly unscored",
        "A source that should have given a score failed, such as a judge that timed out. It counts as neutral where "
        "the combiner has a neutral value, and never as a bad score.",
    ),
    ("composition/violations", "Violations", "The response breaks at least one rule."),
)


def variant_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of variants: a cell per variant, then the difference of the first comparison and its p."""
    variants = [results["variants"][name] for name in results["order"]]
    comparison = results["comparisons"][0] if results["comparisons"] else None
    rows = [
        _mean_row("Total reward R", "", [variant["total"] for variant in variants], comparison and comparison["total"])
    ]
    names = SourceNames(results)
    for name in results["sources"]:
        digits = 2 if names.is_score(name) else 1
        rows.append(
            _mean_row(
                capital(names.label(name)),
                names.symbol(name),
                [variant["sources"].get(name) for variant in variants],
                comparison and comparison["sources"].get(name),
                digits,
            )
        )
    if any(variant["violations"] for variant in variants):
        rows.append(_violation_row(variants, comparison))
    rows.append(
        _length_row(
            "Tokens in a response", [variant["tokens"] for variant in variants], comparison and comparison["tokens"]
        )
    )
    rows.append(
        _length_row(
            "Words in a response", [variant["words"] for variant in variants], comparison and comparison["words"]
        )
    )
    rows.append(_share_row("Responses cut off by the token budget", [variant["unfinished"] for variant in variants]))
    rows.append(_share_row("Different responses", [variant["distinct"] for variant in variants]))
    return rows


def tiles(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The few figures at the top: total, violations, points of judges, length; each by variant."""
    variants, names = results["variants"], SourceNames(results)

    def tile(label: str, show: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
        return {
            "label": label,
            "values": [{"variant": name, "text": show(variants[name])} for name in results["order"]],
        }

    shown = [tile("Mean total reward", lambda variant: _tile_mean(variant["total"], number))]
    if any(variant["violations"] for variant in variants.values()):
        shown.append(
            tile(
                "Responses that break a rule",
                lambda variant: percent(variant["violations"]["share"]) if variant["violations"] else "–",
            )
        )
    for name in (each for each in results["sources"] if names.parts(each) == "items"):
        shown.append(tile(f"Mean points of the {names.label(name)}", partial(_source_points, name=name)))
    shown.append(tile("Mean tokens in a response", lambda variant: number(variant["tokens"]["mean"], 0)))
    return shown


def _source_points(variant: Mapping[str, Any], *, name: str) -> str:
    return points_mean(variant["sources"].get(name))


def points_mean(cell: Mapping[str, Any] | None) -> str:
    """Mean points with one decimal."""
    return _tile_mean(cell, lambda mean: signed(mean, 1)) if cell else "–"


def _tile_mean(cell: Mapping[str, Any], show: Callable[[float | None], str]) -> str:
    """A mean, and beside it how many values are missing."""
    shown = "withheld" if cell["withheld"] else show(cell["mean"])
    return f"{shown} ({cell['missing']} unscored)" if cell["missing"] else shown


def unscored_rows(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The sources whose scores failed, how often, and why."""
    names = SourceNames(results)
    return [
        {
            "source": capital(names.label(name)),
            "count": f"{failed['responses']} of {failed['of']}",
            "why": reasons(failed),
        }
        for name, failed in results["unscored"].items()
    ]


def composition_rows(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Mean share over the first and the last fifth of the training steps, with what it means."""
    rows = []
    for name, title, meaning in DIAGNOSTICS:
        _, values = series(metrics, "policy", name)
        if values:
            fifth = max(1, len(values) // 5)
            first, last = (sum(part) / len(part) for part in (values[:fifth], values[-fifth:]))
            rows.append({"title": title, "meaning": meaning, "first": percent(first), "last": percent(last)})
    return rows


def accuracy_rows(quality: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each reward model, the baselines that need no model, on the same pairs; then by kind of pair."""
    models = {label: each for label, each in (quality.get("reward_models") or {}).items() if each.get("pairs")}
    rows = [(capital(label), each["correct"], each["pairs"], "own") for label, each in models.items()]
    if models:
        first = next(iter(models.values()))
        rows += [
            (f"Baseline: {name}", correct, first["pairs"], "baseline")
            for name, correct in (first.get("baselines") or {}).items()
            if correct is not None
        ]
    for label, each in models.items():
        rows += [
            (f"{capital(label)} on: {kind}", cell["correct"], cell["pairs"], "kind")
            for kind, cell in (each.get("kinds") or {}).items()
            if cell["pairs"]
        ]
    return [{"label": label, "role": role, "n": n, **_wilson(correct, n)} for label, correct, n, role in rows]


def agreement_rows(quality: Mapping[str, Any], questions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The agreement of local judges with known answers by item, beside always giving the more frequent answer."""
    rows = []
    for cell in quality.get("judge") or []:
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


def _mean_row(
    label: str,
    symbol: str,
    cells: Sequence[Mapping[str, Any] | None],
    comparison: Mapping[str, Any] | None,
    digits: int = 2,
) -> dict[str, Any]:
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


def _violation_row(variants: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any] | None) -> dict[str, Any]:
    cells = []
    for variant in variants:
        cell = variant["violations"]
        cells.append(
            {"main": percent(cell["share"]), "sub": f"{percent(cell['low'])} to {percent(cell['high'])}"}
            if cell
            else {"main": "–", "sub": ""}
        )
    row = {
        "label": "Responses that break a rule",
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
            "interval": f"{test['fell']} fixed, {test['rose']} new",
        }
    return row


def _length_row(label: str, cells: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any] | None) -> dict[str, Any]:
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
        unscored = f"{comparison['unscored']} prompts unscored"
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
