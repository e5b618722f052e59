"""Responses of a role to prompts: an engine on the run's backbone, and one turn each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repo_exp.models.backbone import Backbone
from repo_exp.rollout.collector import collect
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages.records import SamplingInputs
from repo_exp.types import Prompt, Trajectory


def answer(
    backbone: Backbone,
    role: str,
    prompts: Sequence[Prompt],
    sampling: SamplingInputs,
    *,
    batch_size: int,
    seed: int,
    on_finished: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Return one response a prompt. The same seed gives every role the same random numbers.

    Args:
        batch_size: responses that are sampled side by side; it changes none of them.
        on_finished: is called with each trajectory as soon as it is complete.
    """
    return collect(
        prompts,
        TorchEngine(backbone, role, batch_size=batch_size),
        backbone.tokens,
        Sampling(sampling.temperature, sampling.max_new_tokens),
        seed=seed,
        on_finished=on_finished,
    )
