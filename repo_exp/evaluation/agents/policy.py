"""A policy as an agent: an engine that samples from one role's weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.rollout.collector import Tokenizer, collect
from repo_exp.rollout.engine import Engine, Sampling
from repo_exp.types import Prompt, Trajectory


@dataclass(frozen=True, slots=True)
class PolicyAgent:
    """Samples every turn from ``role``.

    Attributes:
        name: what tables call it.
        version: of the role's weights.
    """

    name: str
    engine: Engine
    tokenizer: Tokenizer
    sampling: Sampling
    role: str = "policy"
    version: int = 0

    def play(
        self,
        prompts: Sequence[Prompt],
        environment: EnvironmentFactory,
        *,
        seed: int,
        max_turns: int,
        on_finished: Callable[[Trajectory], None] | None = None,
    ) -> list[Trajectory]:
        """Play one episode of each prompt, all side by side."""
        self.engine.publish(self.role, self.version)
        return collect(
            prompts,
            self.engine,
            self.tokenizer,
            self.sampling,
            seed=seed,
            environment=environment,
            max_turns=max_turns,
            on_finished=on_finished,
        )
