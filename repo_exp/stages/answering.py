"""Lets a role answer contexts: from messages to replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repo_exp.config.schema import Rollout
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.sampler import Sampled, sample, spoken
from repo_exp.types import Context, Reply


def answer(
    backbone: Backbone,
    role: str,
    contexts: Sequence[Context],
    rollout: Rollout,
    *,
    seed: int,
    temperature: float | None = None,
    finished: Callable[[Reply], None] | None = None,
) -> list[Reply]:
    """Return one reply a context. The same seed gives every role the same random numbers.

    ``finished`` hears of each reply as soon as it has ended.
    """

    def hear(place: int, reply: Sampled) -> None:
        finished(*spoken(backbone, [contexts[place]], [reply]))

    sampled = sample(
        backbone,
        role,
        [backbone.tokens.context(context.messages) for context in contexts],
        seed=seed,
        temperature=rollout.temperature if temperature is None else temperature,
        max_new_tokens=rollout.max_new_tokens,
        batch_size=rollout.batch_size,
        finished=None if finished is None else hear,
    )
    return spoken(backbone, contexts, sampled)
