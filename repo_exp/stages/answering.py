"""Responses of a role to prompts: an engine on the run's backbone, and one turn each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repo_exp.config.schema import Rollout
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.collector import collect
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.types import Prompt, Trajectory


def answer(
    backbone: Backbone,
    role: str,
    contexts: Sequence[Prompt],
    rollout: Rollout,
    *,
    seed: int,
    temperature: float | None = None,
    finished: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Return one response a prompt. The same seed gives every role the same random numbers.

    ``finished`` is called with each trajectory as soon as it is complete.
    """
    return collect(
        contexts,
        TorchEngine(backbone, role, batch_size=rollout.batch_size),
        backbone.tokens,
        Sampling(rollout.temperature if temperature is None else temperature, rollout.max_new_tokens),
        seed=seed,
        on_finished=finished,
    )
