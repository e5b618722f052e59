"""Whole dialogues: each agent plays every prompt to its end, and the environments report the outcomes.

No stage plays this protocol yet: runs evaluate with ``holdout``. Call it yourself, as docs/extending.md shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.evaluation.agents.interface import Agent
from repo_exp.evaluation.statistics import Mean, Proportion, mean_interval, wilson_interval
from repo_exp.types import Prompt, Trajectory


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of an agent's dialogues.

    Attributes:
        turns: of the agent in a dialogue.
        truncated: dialogues that the limit of turns ended.
        shares: outcome -> how often it was true.
        means: outcome -> mean of its numbers.
    """

    turns: Mean
    truncated: Proportion
    shares: Mapping[str, Proportion]
    means: Mapping[str, Mean]


def dialogues(
    agents: Iterable[Agent],
    prompts: Sequence[Prompt],
    environment: EnvironmentFactory,
    *,
    seed: int,
    max_turns: int,
) -> dict[str, list[Trajectory]]:
    """Return agent -> its dialogue for each prompt, in the order of the prompts.

    Args:
        environment: of the domain (``registry.find(NAME).environment``); every agent meets the same partners.
        max_turns: a dialogue that is not over after so many turns of the agent is truncated.
    """
    return {agent.name: agent.play(prompts, environment, seed=seed, max_turns=max_turns) for agent in agents}


def outcomes(played: Sequence[Trajectory], *, seed: int, resamples: int = 10_000, confidence: float = 0.95) -> Outcomes:
    """Return how dialogues went: truth values as shares with Wilson intervals, numbers as means with bootstrap ones.

    A dialogue without an outcome counts as missing (a number) or is left out (a truth value), never as 0 or false.
    """
    found: dict[str, list[bool | float]] = {}
    for each in played:
        for name, value in each.outcome.items():
            if isinstance(value, bool | int | float):
                found.setdefault(name, []).append(value)

    def mean(values: Sequence[float]) -> Mean:
        return mean_interval(values, seed=seed, resamples=resamples, confidence=confidence)

    true = {name: values for name, values in found.items() if all(isinstance(value, bool) for value in values)}
    truncated = sum(each.status == "truncated" for each in played)
    return Outcomes(
        turns=mean([len(each.turns) for each in played]),
        truncated=wilson_interval(truncated, len(played), confidence=confidence),
        shares={
            name: wilson_interval(sum(map(bool, values)), len(values), confidence=confidence)
            for name, values in true.items()
        },
        means={
            name: mean([*map(float, values), *[math.nan] * (len(played) - len(values))])
            for name, values in found.items()
            if name not in true
        },
    )
