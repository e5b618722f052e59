"""The report's figures: each takes metrics or results and returns inline SVG, or "" without data."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from repo_exp.evaluation.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Drawing,
    clip_label,
    curve,
    series,
)
from repo_exp.evaluation.names import variant_name

Metrics = Sequence[Mapping[str, Any]]

SCORE_COLOURS = (BLUE, SKY, GREEN, ORANGE)
POINT_COLOURS = (ORANGE, GREEN, BLUE, VERMILION, SKY)
VARIANT_COLOURS = (SKY, ORANGE, BLUE, GREEN, PURPLE)
STAGE_TITLES = {"sft": "SFT", "reward_model": "Reward model", "judge": "Judge", "value_model": "Value model"}

Infos = Mapping[str, Mapping[str, Any]]
"""Source -> "unit", "label"...: ``source_info`` of the results."""

Panel = tuple[str, Sequence[tuple[str, str, str]]]
"""Title, and (metric name, label, colour) of each of its curves."""


def reward_curves(metrics: Metrics, infos: Infos) -> str:
    """Reward during training by source: scores and points."""
    scores, points = _source_lines("reward", infos)
    return _curves(
        "reward",
        metrics,
        "Reward during training, by source",
        [
            ("Reward", [("reward/total", "total", INK), *scores]),
            ("Points", [*points, ("reward/enhancement", "enhancement E", PURPLE)]),
        ],
    )


def composition_curves(metrics: Metrics) -> str:
    """What combining the sources did, as shares of the responses of each step."""
    return _curves(
        "composition",
        metrics,
        "Reward diagnostics: shares of responses",
        [
            (
                "Where sources have no effect",
                [("composition/saturated", "saturation", VERMILION), ("composition/dead_zone", "dead zone", BLUE)],
            ),
            (
                "Where sources disagree or scores are missing",
                [
                    ("composition/sign_conflict", "sign conflict", PURPLE),
                    ("composition/unscored", "unscored", ORANGE),
                    ("composition/failed", "partly unscored", GREEN),
                ],
            ),
            ("Where a rule is broken", [("composition/violations", "violations", VERMILION)]),
        ],
        shares=True,
    )


def validation_curve(metrics: Metrics, infos: Infos) -> str:
    """Development prompts answered at regular steps during training."""
    scores, points = _source_lines("capability", infos)
    return _curves(
        "capability",
        metrics,
        "Validation score on development prompts against the training step",
        [
            ("Validation score", [("capability/total", "total", INK), *scores]),
            ("Points", points),
            ("Share of responses that break a rule", [("capability/violations", "violations", VERMILION)]),
            ("Share of responses without one of the scores", [("capability/unscored", "unscored", PURPLE)]),
        ],
        smoothed=False,
        stage="capability",
    )


def _source_lines(group: str, infos: Infos) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Return (metric, label, colour) of the sources of unit "score", and of those of points."""
    lines = []
    for unit, colours in (("score", SCORE_COLOURS), ("points", POINT_COLOURS)):
        names = [name for name, info in infos.items() if info["unit"] == unit]
        lines.append(
            [(f"{group}/{name}", infos[name]["label"], colours[i % len(colours)]) for i, name in enumerate(names)]
        )
    return lines[0], lines[1]


def pair_curves(metrics: Metrics) -> str:
    """The policy's implicit rewards of the pairs that it is trained on, relative to the SFT policy."""
    return _curves(
        "pairs",
        metrics,
        "Preference pairs against the training step",
        [
            (
                "Implicit reward",
                [("implicit/chosen", "better response", BLUE), ("implicit/rejected", "other response", ORANGE)],
            ),
            ("Margin", [("implicit/margin", "margin", INK)]),
            ("Share of pairs put right", [("implicit/accuracy", "put right", GREEN)]),
        ],
    )


def health_curves(metrics: Metrics) -> str:
    """Diagnostics of training: step size, variance explained by the value network, length of responses."""
    return _curves(
        "health",
        metrics,
        "Learner diagnostics against the training step",
        [
            ("Step size (approximate KL)", [("policy/approx_kl", "KL", BLUE)]),
            ("Clipped share of tokens", [("policy/clip_fraction", "clipped", VERMILION)]),
            ("Entropy", [("policy/entropy", "entropy", PURPLE)]),
            ("Variance explained by the value", [("value/explained_variance", "explained", GREEN)]),
            ("Gradient norm", [("grad/policy_norm", "policy", BLUE), ("grad/value_norm", "value", GREEN)]),
            ("Tokens in a response", [("reply/tokens", "tokens", ORANGE)]),
        ],
    )


def loss_curves(metrics: Metrics) -> str:
    """Loss of everything that was trained before the policy."""
    panels = []
    for stage in dict.fromkeys(record["stage"] for record in metrics):
        title = next((title + stage.removeprefix(prefix).replace("_", " ") for prefix, title in STAGE_TITLES.items()
                      if stage == prefix or stage.startswith(f"{prefix}_")), "")  # fmt: skip
        points = series(metrics, stage, "loss/train")
        panels += [(f"{title}: loss", [(points, "train", SKY)])] if title else []
    return _draw("losses", "Loss by stage", panels)


def violation_bars(results: Mapping[str, Any]) -> str:
    """Share of responses that break each rule, by variant, with Wilson intervals."""
    variants = [name for name in results["order"] if results["variants"][name]["rules"]]
    if not variants:
        return ""
    rules = list(results["variants"][variants[0]]["rules"])
    rules.sort(
        key=lambda rule: (max(results["variants"][variant]["rules"][rule]["share"] for variant in variants), rule)
    )
    thick = 0.8 / len(variants)
    with Drawing("violations", height=0.7 + (0.16 * len(variants) + 0.12) * len(rules)) as drawing:
        axes = drawing.axes[0]
        for place, variant in enumerate(variants):
            cells = [results["variants"][variant]["rules"][rule] for rule in rules]
            shares = [cell["share"] for cell in cells]
            errors = [
                [max(0.0, cell["share"] - cell["low"]) for cell in cells],
                [max(0.0, cell["high"] - cell["share"]) for cell in cells],
            ]
            # Bars run upwards; the first variant is on top of its group, as it is in the legend.
            heights = [row + thick * ((len(variants) - 1) / 2 - place) for row in range(len(rules))]
            axes.barh(
                heights,
                shares,
                thick * 0.9,
                color=VARIANT_COLOURS[place % len(VARIANT_COLOURS)],
                xerr=errors,
                ecolor=INK,
                error_kw={"elinewidth": 0.8, "alpha": 0.6},
                label=variant_name(variant),
            )
        axes.set_yticks(range(len(rules)), [clip_label(rule) for rule in rules])
        axes.grid(False, axis="y")
        axes.set_xlim(left=0)
        axes.set_ylim(-0.6, len(rules) - 0.4)
        axes.xaxis.set_major_formatter(FuncFormatter(_as_percent))
        axes.set_xlabel(
            "share of responses that break the rule, with 95 % intervals"
            if results["settings"]["confidence"] == 0.95
            else "share of responses that break the rule"
        )
        axes.legend(loc="lower right")
        return drawing.svg("Share of responses that break each rule, by variant")


def difference_strip(comparison: Mapping[str, Any]) -> str:
    """Every prompt's difference of total reward as a point, with a box of the quartiles."""
    values = [value for value in comparison["differences"] if value is not None]
    if len(values) < 2:
        return ""
    before, after = variant_name(comparison["before"]), variant_name(comparison["after"])
    draw = random.Random("differences")  # the jitter only keeps points apart
    with Drawing("differences", height=1.9) as drawing:
        axes = drawing.axes[0]
        for sign, colour in ((1, BLUE), (0, INK), (-1, VERMILION)):
            same = [value for value in values if (value > 0) - (value < 0) == sign]
            axes.scatter(same, [draw.uniform(-0.28, 0.28) for _ in same], s=16, color=colour, alpha=0.55, linewidths=0)
        axes.boxplot(
            values,
            orientation="horizontal",
            positions=[0.62],
            widths=0.26,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 1.6},
            boxprops={"color": INK},
            whiskerprops={"color": INK},
            capprops={"color": INK},
        )
        axes.axvline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.45, 0.95)
        better, worse = sum(value > 0 for value in values), sum(value < 0 for value in values)
        axes.set_xlabel(
            f"total reward of {after} minus {before}, one point per prompt "
            f"({better} higher, {worse} lower, {len(values) - better - worse} equal)"
        )
        return drawing.svg(f"Difference of total reward between {after} and {before} in each of {len(values)} prompts")


def _as_percent(share: float, _: int) -> str:
    return f"{round(100 * share, 6):g} %"


def _curves(
    name: str,
    metrics: Metrics,
    label: str,
    panels: Iterable[Panel],
    *,
    shares: bool = False,
    smoothed: bool = True,
    stage: str = "policy",
) -> str:
    """Curves of one stage."""
    drawn = [
        (title, [(series(metrics, stage, metric), text, colour) for metric, text, colour in lines])
        for title, lines in panels
    ]
    return _draw(name, label, drawn, shares=shares, smoothed=smoothed)


def _draw(
    name: str, label: str, panels: Iterable[tuple[str, list]], *, shares: bool = False, smoothed: bool = True
) -> str:
    """Panels without any point are left out."""
    filled = [(title, [line for line in lines if line[0][0]]) for title, lines in panels]
    filled = [(title, lines) for title, lines in filled if lines]
    if not filled:
        return ""
    columns = 2 if len(filled) in (2, 4) else 3
    with Drawing(name, len(filled), columns=columns) as drawing:
        for axes, (title, lines) in zip(drawing.axes, filled, strict=True):
            for points, text, colour in lines:
                curve(axes, points, text, colour, smoothed=smoothed)
            _finish(axes, title, legend=len(lines) > 1, shares=shares or "hare of" in title or "accuracy" in title)
        return drawing.svg(label)


def _finish(axes: Axes, title: str, *, legend: bool, shares: bool) -> None:
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if shares:
        axes.yaxis.set_major_formatter(FuncFormatter(_as_percent))
    low, high = axes.get_ylim()
    if shares and "accuracy" not in title:
        axes.set_ylim(0, max(high, 0.05))
    elif low < 0 < high:
        axes.axhline(0, color=INK, linewidth=0.6, alpha=0.5)
    if legend:
        axes.legend(loc="best")
