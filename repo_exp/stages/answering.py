"""Responses of a role to prompts: an engine on the run's backbone, a single turn each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repo_exp.evaluation.agents.policy import PolicyAgent
from repo_exp.evaluation.protocols.holdout import holdout
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages.records import SamplingInputs
from repo_exp.types import Prompt, Trajectory


def policy_agent(name: str, backbone: Backbone, role: str, sampling: SamplingInputs, *, batch_size: int) -> PolicyAgent:
    """Return a role of the backbone as an agent.

    Args:
        name: what tables call it.
        batch_size: responses that are sampled side by side; it changes none of them.
    """
    engine = TorchEngine(backbone, role, batch_size=batch_size)
    return PolicyAgent(name, engine, backbone.tokens, Sampling(sampling.temperature, sampling.max_new_tokens))


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
    agent = policy_agent(role, backbone, role, sampling, batch_size=batch_size)
    return holdout([agent], prompts, seed=seed, on_finished=on_finished)[role]
