"""A policy as an agent: an engine samples its messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.rollout.collector import Tokenizer, collect
from repo_exp.rollout.engine import Engine, Sampling
from repo_exp.types import Prompt, Trajectory


@dataclass(frozen=True, slots=True)
class PolicyAgent:
    """Samples every turn.

    Attributes:
        name: what tables call it.
        engine: samples from the policy's weights.
    """

    name: str
    engine: Engine
    tokenizer: Tokenizer
    sampling: Sampling

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
