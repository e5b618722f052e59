"""The names of yesterday, until every use says ``engine``, ``torch_engine`` and ``collector``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repo_exp.models.backbone import Backbone
from repo_exp.rollout.drawing import draw
from repo_exp.rollout.engine import Completion, Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.types import Prompt, Trajectory

Sampled = Completion
__all__ = ["Sampled", "derived_seed", "draw", "sample", "spoken"]


def sample(
    backbone: Backbone,
    role: str,
    contexts: Sequence[Sequence[int]],
    *,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    finished: Callable[[int, Completion], None] | None = None,
) -> list[Completion]:
    """Complete each prompt once, with a seed that depends on its place."""
    seeds = [derived_seed(seed, i) for i in range(len(contexts))]
    engine, sampling = TorchEngine(backbone, role, batch_size=batch_size), Sampling(temperature, max_new_tokens)
    return engine.generate(contexts, sampling, seeds=seeds, on_finished=finished)


def spoken(backbone: Backbone, contexts: Sequence[Prompt], sampled: Sequence[Completion]) -> list[Trajectory]:
    """Return completions as the trajectories of one turn that they are."""
    return [
        Trajectory.single(context, backbone.tokens.text(each.tokens), each.finished, len(each.tokens))
        for context, each in zip(contexts, sampled, strict=True)
    ]
