"""A whole synthetic run, as the stages would hand it over: variants with every source, metrics, accuracies."""

from __future__ import annotations

import random
from typing import Any

import pytest

from repo_exp.evaluation.examples import worked_example
from repo_exp.types import Message, Prompt, RewardBreakdown, Score, Trajectory
from tests.evaluation.usual import choose_examples, summarise

BOUND = 100.0
RULES = {"price_above_current": -60.0, "forbidden_promise": -60.0, "leaked_target": -80.0, "too_long": -20.0}
ITEMS = {"soothes": 20.0, "gives_a_reason": 20.0, "keeps_to_the_stage": 30.0, "overpromises": -60.0}
TEXTS = (
    "Thank you for your time. Guests in Lisbon now book the Harbour View at 389; could you meet us at 395 for the "
    "deluxe double? It would put you on the first page.",
    "I understand that the season is hard. With 402 instead of 431 your room would be the best value within a mile, "
    "and we see three times the clicks for such rooms.",
    "Could you do 380?",
)


def prompt(i: int) -> Prompt:
    return Prompt(
        f"hotel-{i:03d}",
        (
            Message("system", "You negotiate room prices for a travel agency. Be short and polite."),
            Message("assistant", "Good morning, this is Ana from the agency. May I ask about your deluxe double?"),
            Message("user", "Busy. What is it?" if i % 2 else "we just lowered it last week, not again pls"),
        ),
        {"hotel": f"Hotel {i}", "tickets": [{"room": "deluxe double", "selling_price": 431, "target": 395}]},
    )


def breakdown(model: float | None, judge: dict | None, rules: dict | None, judged: bool = True) -> RewardBreakdown:
    """A response's reward by the rule of the enhancement, from the parts of each source (None: was not asked)."""
    sources: dict[str, Score] = {}
    if model is not None:
        sources["model"] = Score(model)
    if judge is not None:
        sources["judge"] = (
            Score(sum(judge.values()), judge, words="Polite, names a reason.") if judged else Score.none("timed out")
        )
    if rules is not None:
        sources["rules"] = Score(sum(rules.values()), rules)
    points = sum(sources[name].value for name in ("judge", "rules") if name in sources and not sources[name].missing)
    raised = max(-BOUND, min(BOUND, points))
    total = raised / BOUND if model is None else model + abs(model) * raised / BOUND
    missing = tuple(name for name, score in sources.items() if score.missing)
    return RewardBreakdown(sources, raised, total, abs(points - raised), missing)


def variant(skill: float, *, n: int = 60, seed: str = "", sources: str = "model judge rules"):
    """Answers of a policy; the more skill, the better the scores."""
    draw, answers = random.Random(f"{seed}{skill}"), []
    for i in range(n):
        items = {name: points for name, points in ITEMS.items() if points > 0 and draw.random() < 0.2 + 0.5 * skill}
        if draw.random() < 0.4 - 0.35 * skill:
            items["overpromises"] = ITEMS["overpromises"]
        rules = {name: points for name, points in RULES.items() if draw.random() < 0.16 - 0.12 * skill}
        text = f"{TEXTS[draw.randrange(3)]} ({draw.randrange(40)})"
        model = draw.gauss(skill - 0.3, 0.8) if "model" in sources else None
        worth = breakdown(
            model,
            items if "judge" in sources else None,
            rules if "rules" in sources else None,
            judged=draw.random() > 0.03,
        )
        answers.append(
            (Trajectory.single(prompt(i), text, finished=draw.random() > 0.02, tokens=len(text) // 4), worth)
        )
    return answers


def metrics() -> list[dict[str, Any]]:
    draw, records = random.Random("metrics"), []
    for step in range(40):
        for stage in ("sft", "reward_model", "judge"):
            record = {"loss/train": 2.4 * 0.94**step + draw.uniform(0, 0.1)}
            if step % 8 == 7:
                record |= {"loss/heldout": 2.5 * 0.945**step}
                if stage != "sft":
                    record["accuracy/heldout"] = 0.55 + 0.009 * step
            records.append({"stage": stage, "step": step, "metrics": record})
    for step in range(80):
        rise = step / 80
        record = {
            "reward/total": rise - 0.3 + draw.gauss(0, 0.15),
            "reward/model": 0.7 * rise - 0.2 + draw.gauss(0, 0.12),
            "reward/judge": 45 * rise - 5 + draw.gauss(0, 5),
            "reward/rules": -24 + 18 * rise + draw.gauss(0, 3),
            "reward/enhancement": 60 * rise - 29 + draw.gauss(0, 5),
            "composition/saturated": 0.04 + 0.1 * rise + draw.uniform(0, 0.03),
            "composition/sign_conflict": 0.35 - 0.2 * rise + draw.uniform(0, 0.04),
            "composition/dead_zone": 0.08 + draw.uniform(0, 0.03),
            "composition/unscored": draw.uniform(0, 0.02),
            "composition/violations": 0.42 - 0.3 * rise + draw.uniform(0, 0.05),
            "policy/approx_kl": 0.004 + draw.uniform(0, 0.003),
            "policy/clip_fraction": 0.05 + draw.uniform(0, 0.02),
            "policy/entropy": 1.9 - 0.5 * rise,
            "value/explained_variance": 0.1 + 0.5 * rise,
            "grad/policy_norm": 0.4 + draw.uniform(0, 0.2),
            "grad/value_norm": 0.9 + draw.uniform(0, 0.3),
            "reply/tokens": 38 + 6 * rise,
            "implicit/chosen": 0.2 * rise,
            "implicit/rejected": -rise,
            "implicit/margin": 1.2 * rise,
            "implicit/accuracy": 0.5 + 0.4 * rise,
        }
        if step % 10 == 0:
            measured = {
                "capability/total": rise - 0.3,
                "capability/model": 0.7 * rise - 0.2,
                "capability/judge": 45 * rise,
                "capability/rules": -24 + 20 * rise,
                "capability/violations": 0.4 - 0.3 * rise,
            }
            records.append({"stage": "capability", "step": step, "metrics": measured})
        records.append({"stage": "policy", "step": step, "metrics": record})
    return records


def whole_report(sources: str = "model judge rules", last: str = "repo") -> dict[str, Any]:
    variants = {
        "base": variant(0.1, sources=sources),
        "sft": variant(0.35, sources=sources),
        last: variant(0.9, sources=sources),
    }
    return {
        "title": "A negotiator trained with REPO",
        "run": {
            "model": "smollm2_135m",
            "algorithm": last,
            "domain": "hotel",
            "seed": 0,
            "seconds": 712.4,
            "command": "python -m repo_exp reward=rm+rj+rf seed=0",
            "started": "2026-03-01 14:05",
            "hardware": "2 CPU cores",
            "versions": {"repo_exp": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
            "roles": {"assistant": "Agent", "user": "Hotel"},
        },
        "reward": {
            "sources": sources.split(),
            "combine": "enhancement",
            "bound": BOUND,
            "rules": {"forbidden_promise": "No guaranteed bookings.", "too_long": "At most 120 words."},
            "items": {"soothes": "Does the response soothe a complaint?", "overpromises": "Does it promise too much?"},
        },
        "stages": [
            {"name": "data", "seconds": 2.1, "reused": True, "address": "data-1f0c"},
            {"name": "sft", "seconds": 131.0, "reused": True, "address": "sft-77aa"},
            {"name": "reward_model", "seconds": 92.0, "reused": False, "address": "reward_model-90be"},
            {"name": "policy", "seconds": 402.7, "reused": False, "address": "policy-0b1d"},
        ],
        "results": summarise(variants, seed=0, resamples=2000),
        "metrics": metrics(),
        "quality": {
            "reward_models": {}
            if "model" not in sources
            else {
                "reward model": {
                    "pairs": 160,
                    "correct": 137,
                    "baselines": {"length": 88, "word overlap": 94},
                    "kinds": {"online": {"pairs": 40, "correct": 31}},
                    "mean": 0.4132,
                    "std": 1.871,
                    "samples": 128,
                }
            },
            "judge": []
            if "judge" not in sources
            else [
                {"item": "soothes", "n": 60, "agreed": 55, "positives": 30},
                {"item": "overpromises", "n": 60, "agreed": 57, "positives": 12},
            ],
        },
        "worked_example": worked_example(variants),
        "examples": choose_examples(variants),
        "config_yaml": "seed: 0\nreward:\n  n: 100\n",
    }


@pytest.fixture(scope="session")
def report() -> dict[str, Any]:
    """The data of a whole report. Tests copy what they change."""
    return whole_report()


@pytest.fixture(scope="session")
def make():
    """The builders: make.variant, make.breakdown, make.prompt, make.metrics, make.whole_report."""
    from types import SimpleNamespace

    return SimpleNamespace(
        variant=variant, breakdown=breakdown, prompt=prompt, metrics=metrics, whole_report=whole_report
    )
