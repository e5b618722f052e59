"""Checks the longest rows of a configuration against the positions of its model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from repo_exp.errors import Problem
from repo_exp.models.place import positions


def problems(config: Any) -> Iterator[Problem]:
    """Yield what does not fit into the positions that the model's files give, if they are here and give them."""
    there = positions(config.model)
    if there is None:
        return
    prompt, response = config.model.max_prompt_tokens, config.rollout.max_new_tokens
    reads = f"the model reads {there}"
    if prompt >= there:
        found = f"prompts of up to {prompt} tokens leave no room for a response: {reads}"
        most = max(there - (2 if reads_pairs(config) else 1) * response, there // 2)
        yield Problem("model.max_prompt_tokens", found, f"model.max_prompt_tokens={most}, or less")
    elif prompt + response > there:
        found = f"prompts of up to {prompt} tokens and responses of up to {response} are {prompt + response}: {reads}"
        most = max(1, (there - prompt) // (2 if reads_pairs(config) else 1))  # of pairs twice as much is read
        remedy = f"rollout.max_new_tokens={most}, or less; or a smaller model.max_prompt_tokens, now {prompt}"
        yield Problem("rollout.max_new_tokens", found, remedy)
    elif reads_pairs(config) and prompt + 2 * response > there:
        found = (
            f"prompts of up to {prompt} tokens and the responses of pairs, read up to twice rollout.max_new_tokens = "
            f"{response}, are {prompt + 2 * response}: {reads}"
        )
        remedy = f"rollout.max_new_tokens={max(1, (there - prompt) // 2)}, or less; or a smaller prompt"
        if there > 2 * response:
            remedy = f"model.max_prompt_tokens={there - 2 * response}, or less; or a smaller rollout.max_new_tokens"
        yield Problem("model.max_prompt_tokens", found, remedy)
    for where, tokens in polar_rows(config):
        if tokens > there:
            yield Problem(where, f"rows of up to {tokens} tokens: {reads}", f"{where}={there}, or less")


def reads_pairs(config: Any) -> bool:
    """Is there a reward model, or a value model that learns from pairs?"""
    sources = config.reward.sources
    asked = any(sources[name]["kind"] == "reward_model" for name in sources) or config.evaluation.sources == "all"
    return asked or config.algorithm["kind"] == "dvpo"


def polar_rows(config: Any) -> Iterator[tuple[str, int]]:
    """Yield the key and the longest row, in tokens, of each POLAR reward model."""
    if config.reward_model.kind == "polar" and reads_pairs(config):
        yield "reward_model.max_tokens", config.reward_model.max_tokens
    for name in config.reward.sources:
        entry = config.reward.sources[name]
        if entry["kind"] == "reward_model" and entry["settings"]["kind"] == "polar":
            tokens = entry["settings"]["max_tokens"]
            if config.reward_model.kind != "polar" or tokens != config.reward_model.max_tokens:
                yield f"reward.sources.{name}.settings.max_tokens", tokens
