"""Completions as the training loop samples them: one prompt after the other has a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence

from repo_exp.models.backbone import Backbone
from repo_exp.rollout.engine import Completion, OnFinished, Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine


def sample(
    backbone: Backbone,
    role: str,
    prompts: Sequence[Sequence[int]],
    *,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    on_finished: OnFinished | None = None,
) -> list[Completion]:
    """Complete each prompt once with the engine of this process."""
    seeds = [derived_seed(seed, i) for i in range(len(prompts))]
    engine, sampling = TorchEngine(backbone, role, batch_size=batch_size), Sampling(temperature, max_new_tokens)
    return engine.generate(prompts, sampling, seeds=seeds, on_finished=on_finished)
