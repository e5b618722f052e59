"""Warnings that come before any figure: random weights, and sources that do not affect training."""

from __future__ import annotations

from repo_exp.algorithms.registry import credit_from, learns_from
from repo_exp.config.reward_sources import info_of, trained_on
from repo_exp.config.schema import Config
from repo_exp.stages.asked_sources import training_sources

RANDOM = "The model has random weights: the figures show that the program runs, and are meaningless as language."


def notices(config: Config) -> list[str]:
    """Return the sentences that are logged first, and printed above the verdict and at the top of the report."""
    return [*([RANDOM] if config.model.source == "random" else []), *_without_effect(config)]


def unused_sources(config: Config) -> tuple[str, ...]:
    """Return the sources of the reward that do not affect the training of the policy."""
    kind, sources = str(config.algorithm["kind"]), trained_on(config)
    if credit_from(kind) in ("nothing", "value model"):
        return tuple(sources)
    if credit_from(kind) == "sources":  # weighted by the algorithm, not by the combiner
        weights = config.algorithm.get("weights")
        weights = weights if isinstance(weights, dict) else config.reward.weights
        condition = config.algorithm.get("condition")
        gate = condition.get("source") if isinstance(condition, dict) else None
        return tuple(name for name in sources if not weights.get(name, 1.0) and name != gate)
    return tuple(name for name in sources if name not in training_sources(config))


def _without_effect(config: Config) -> list[str]:
    unused, name = unused_sources(config), config.algorithm["name"]
    kind = str(config.algorithm["kind"])
    if not unused:
        return []
    labels = [f"the {info_of(source, trained_on(config)[source]).label}" for source in unused]
    who = " and ".join([", ".join(labels[:-1]), labels[-1]]) if len(labels) > 1 else labels[0]
    several = len(unused) > 1 or labels[0].endswith("rules")
    only = f"{who[0].upper()}{who[1:]} only {'measure' if several else 'measures'}"
    if learns_from(kind) == "pairs":
        return [f"{only}: {name} is trained on preference pairs, without a reward."]
    if learns_from(kind) == "nothing":
        return [f"{only}: {name} is trained on demonstrations alone."]
    if credit_from(kind) == "value model":
        return [f"{only}: {name} computes advantages from a value model that was trained on pairs."]
    if config.reward.combine == "model_only":
        way = f"reward.combine=enhancement makes {'them' if several else 'it'} part of the reward"
        return [f"{only}: {name} is trained on the reward model alone (reward.combine=model_only); {way}."]
    return [f"{only}: with weight 0, {'they do' if several else 'it does'} not change the reward."]
