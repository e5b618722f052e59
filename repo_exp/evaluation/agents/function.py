"""A function as an agent: a script, a remote model, or a person at a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.rollout.episode import Episode
from repo_exp.rollout.seeds import derived_seed
from repo_exp.types import Message, Prompt, Trajectory, Turn


@dataclass(frozen=True, slots=True)
class FunctionAgent:
    """Says what ``respond(messages)`` returns, one episode after another.

    No run makes one: it is for trying environments and protocols (docs/extending.md, "A protocol").
    """

    name: str
    respond: Callable[[Sequence[Message]], str]

    def play(
        self,
        prompts: Sequence[Prompt],
        environment: EnvironmentFactory,
        *,
        seed: int,
        max_turns: int,
        on_finished: Callable[[Trajectory], None] | None = None,
    ) -> list[Trajectory]:
        """Play one episode of each prompt, in environments with the seeds that a policy's have."""
        found = []
        for place, prompt in enumerate(prompts):
            episode = Episode(prompt, environment, seed=derived_seed(seed, "environment", place))
            for _ in range(max_turns):
                episode.take(Turn(self.respond(episode.messages)))
                if episode.done:
                    break
            found.append(episode.trajectory())
            if on_finished is not None:
                on_finished(found[-1])
        return found
