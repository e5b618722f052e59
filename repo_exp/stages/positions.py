"""How long the rows of a configuration can get, held against the positions that its model has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from repo_exp.errors import Problem
from repo_exp.models.place import positions

NEEDED = ("name", "source", "package", "gguf", "hub", "revision", "folder")


def problems(config: Any) -> Iterator[Problem]:
    """Yield what does not fit into the positions that the model's files give, if they are here and give them."""
    there = positions({key: getattr(config.model, key) for key in NEEDED})
    if there is None:
        return
    prompt, response = config.model.max_context_tokens, config.rollout.max_new_tokens
    reads = f"the model reads {there}"
    if prompt >= there:
        found = f"prompts of up to {prompt} tokens leave no room for a response: {reads}"
        yield Problem("model.max_context_tokens", found, f"{max(there - response, there // 2)} or less")
    elif prompt + response > there:
        found = f"prompts of up to {prompt} tokens and responses of up to {response} are {prompt + response}: {reads}"
        remedy = f"{there - prompt} or less; or a smaller model.max_context_tokens, now {prompt}"
        yield Problem("rollout.max_new_tokens", found, remedy)
    elif _reads_pairs(config) and prompt + 2 * response > there:
        found = (
            f"prompts of up to {prompt} tokens and the responses of pairs, read up to twice rollout.max_new_tokens = "
            f"{response}, are {prompt + 2 * response}: {reads}"
        )
        remedy = f"{there - 2 * response} or less" if there > 2 * response else f"rollout.max_new_tokens={there // 4}"
        yield Problem("model.max_context_tokens", found, f"{remedy}; or a smaller rollout.max_new_tokens")
    if _reads_pairs(config) and config.reward_model.kind == "polar" and config.reward_model.max_tokens > there:
        found = f"rows of up to {config.reward_model.max_tokens} tokens: {reads}"
        yield Problem("reward_model.max_tokens", found, f"{there} or less")


def _reads_pairs(config: Any) -> bool:
    """Is there a reward model, or a value model that learns from pairs?"""
    asked = "model" in config.reward.sources or config.evaluation.sources == "all"
    return asked or config.algorithm["kind"] == "dvpo"
