"""What a reader must know before any figure: random weights, and sources that the policy does not learn from."""

from __future__ import annotations

from repo_exp.algorithms.registry import credit_from, learns_from
from repo_exp.config.schema import Config
from repo_exp.rewards.joins import heard_by

NAMES = {"model": "the reward model", "judge": "the judge", "rules": "the rules"}
RANDOM = "The model has random weights: the figures show that the program runs, and say nothing about language."


def notices(config: Config) -> list[str]:
    """Return the sentences that stand at the start of a run, above its verdict, and on top of its report."""
    return [*([RANDOM] if config.model.source == "random" else []), *_without_effect(config)]


def silent_sources(config: Config) -> tuple[str, ...]:
    """Return the sources of the reward that cannot change what the policy learns."""
    kind = str(config.algorithm["kind"])
    if credit_from(kind) in ("nothing", "value model"):
        return tuple(config.reward.sources)
    weights = config.reward.weights.model_dump()
    if credit_from(kind) == "sources":  # weighed by the algorithm, whatever the join
        weights = dict(config.algorithm.get("weights") or weights)
        condition = config.algorithm.get("condition") or {}
        asked = {condition.get("source")} if isinstance(condition, dict) else set()
        return tuple(name for name in config.reward.sources if not weights.get(name, 1.0) and name not in asked)
    heard = heard_by(config.reward.join, config.reward.sources, weights)
    return tuple(name for name in config.reward.sources if name not in heard)


def _without_effect(config: Config) -> list[str]:
    silent, name = silent_sources(config), config.algorithm["name"]
    kind = str(config.algorithm["kind"])
    if not silent:
        return []
    who = _joined([NAMES[source] for source in silent])
    many = len(silent) > 1 or silent == ("rules",)
    verb = "measure" if many else "measures"
    only = f"{who[0].upper()}{who[1:]} only {verb}"
    if learns_from(kind) == "pairs":
        return [f"{only}: {name} learns from preference pairs and asks no reward."]
    if learns_from(kind) == "nothing":
        return [f"{only}: {name} learns from demonstrations alone."]
    if credit_from(kind) == "value model":
        return [f"{only}: {name} takes its credit from a value model that was learnt from pairs."]
    if config.reward.join == "model_only":
        way = f"reward.join=enhancement lets {'them' if many else 'it'} teach"
        return [f"{only}: {name} learns from the reward model alone (reward.join=model_only); {way}."]
    return [f"{only}: of weight 0, what {'they say' if many else 'it says'} changes no total."]


def _joined(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
