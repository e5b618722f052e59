"""The protocol of every run: each agent gives one response to every held-out prompt, all with the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from repo_exp.domains.single_turn import SingleTurn
from repo_exp.evaluation.agents.interface import Agent
from repo_exp.types import Prompt, Trajectory


def holdout(
    agents: Iterable[Agent],
    prompts: Sequence[Prompt],
    *,
    seed: int,
    on_finished: Callable[[Trajectory], None] | None = None,
) -> dict[str, list[Trajectory]]:
    """Return agent -> its response to each prompt, in the order of the prompts.

    Args:
        agents: one is asked for when the one before it is done, so that a generator may load each in turn.
        seed: the same for every agent, so that they differ by their weights and not by their luck.
        on_finished: is called with each trajectory as soon as it is complete, so that scoring can begin.
    """
    return {
        agent.name: agent.play(prompts, SingleTurn, seed=seed, max_turns=1, on_finished=on_finished) for agent in agents
    }
