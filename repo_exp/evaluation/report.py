"""One HTML file that shows what a run did: no script, no external address, every text from a model escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from repo_exp.durable import write_bytes
from repo_exp.evaluation import figures, numbers
from repo_exp.evaluation import report_view as view
from repo_exp.evaluation.names import SourceNames, capital, variant_name
from repo_exp.evaluation.report_data import Report
from repo_exp.evaluation.worked import worked_steps
from repo_exp.plain import plain

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def render_report(report: Report, path: Path) -> None:
    """Write the report to ``path``, whole or not at all.

    Args:
        report: see ``report_data``; a section without data is left out.

    Raises:
        WriteError: the file cannot be written.
    """
    # A lone surrogate in a model's output has no UTF-8; it becomes a question mark.
    page = report_html(report).encode("utf-8", errors="replace")
    write_bytes(path, page)


def report_html(report: Report) -> str:
    """Return the page as text. The same report gives the same text."""
    environment = Environment(
        loader=PackageLoader("repo_exp.evaluation", "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = SourceNames(report["results"])
    environment.filters.update(
        number=numbers.number,
        signed=numbers.signed,
        points=numbers.points,
        duration=numbers.duration,
        percent=numbers.percent,
        p=numbers.p_value,
        variant=variant_name,
        source=names.label,
        symbol=names.symbol,
        scores=names.scores,
        in_points=names.points,
        is_score=names.is_score,
        capital=capital,
        json_text=lambda value: json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False),
    )
    html = environment.get_template("report.html.j2").render(_prompt(report))
    return CONTROL.sub("\ufffd", html)  # a model may write any byte, and HTML knows no control characters


def _prompt(report: Report) -> dict[str, Any]:
    results = report["results"]
    metrics = report.get("metrics") or []
    reward = report.get("reward") or {}
    quality = report.get("quality") or {}
    worked = report.get("worked_example")
    return {
        **report,
        "reward": reward,
        "quality": quality,
        "comparison": results["comparisons"][0] if results["comparisons"] else None,
        "tiles": view.tiles(results),
        "rows": view.variant_rows(results),
        "unscored": view.unscored_rows(results),
        "measured_sources": (reward.get("measured") or {}).get("sources") or [],
        "worked": worked,
        "steps": worked_steps(worked, reward, SourceNames(results)) if worked else None,
        "composition": view.composition_rows(metrics),
        "accuracy": view.accuracy_rows(quality),
        "agreement": view.agreement_rows(quality, reward.get("items") or {}),
        "figures": _figures(results, metrics),
        "rule_names": _names(results, "rules"),
        "item_names": _names(results, "items"),
    }


def _figures(results: Mapping[str, Any], metrics: figures.Metrics) -> dict[str, Markup]:
    """Each figure's SVG; matplotlib escapes the names in it, so it may go into the page as it is."""
    drawn = {
        "reward": figures.reward_curves(metrics, results.get("source_info") or {}),
        "composition": figures.composition_curves(metrics),
        "validation": figures.validation_curve(metrics, results.get("source_info") or {}),
        "health": figures.health_curves(metrics),
        "pairs": figures.pair_curves(metrics),
        "losses": figures.loss_curves(metrics),
        "violations": figures.violation_bars(results),
        "differences": figures.difference_strip(results["comparisons"][0]) if results["comparisons"] else "",
    }
    return {name: Markup(svg) for name, svg in drawn.items()}


def _names(results: Mapping[str, Any], kind: str) -> list[str]:
    return sorted({name for variant in results["variants"].values() for name in variant[kind]})
