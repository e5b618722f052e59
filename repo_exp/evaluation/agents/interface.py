"""The interface of an agent: it plays one episode of each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.types import Prompt, Trajectory


class Agent(Protocol):
    """Plays episodes."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def play(
        self,
        prompts: Sequence[Prompt],
        environment: EnvironmentFactory,
        *,
        seed: int,
        max_turns: int,
        on_finished: Callable[[Trajectory], None] | None = None,
    ) -> list[Trajectory]:
        """Play one episode of each prompt.

        Args:
            environment: what answers the agent.
            seed: what every draw depends on; environments of two agents with one seed behave alike.
            max_turns: an episode that is not over by then is truncated.
            on_finished: is called once for each trajectory, as soon as it is complete.
        """
        ...
