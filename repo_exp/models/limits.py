"""The limits in a model's own configuration: positions, attention windows, and tokens without an embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from transformers import PreTrainedConfig

from repo_exp.errors import ConfigError, ModelError, Problem
from repo_exp.models.place import POSITION_KEYS
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.types import Message

WINDOWS = ("window", "window_size", "chunk_size", "local_attention")  # how names of windows end


def require_room(config: PreTrainedConfig, *, longest: int, prompt: int) -> None:
    """Refuse sequences that the model has no positions for.

    Args:
        longest: tokens of the longest sequence that can come.
        prompt: of these, what ``model.max_prompt_tokens`` allows.

    Raises:
        ConfigError: the model has fewer positions.
    """
    bounds = [(name, getattr(config, name, None)) for name in POSITION_KEYS]
    bounds += [("original_max_position_embeddings", each) for each in _short_factors(config)]
    name, most = min(
        ((name, bound) for name, bound in bounds if isinstance(bound, int) and bound > 0),
        key=lambda each: each[1],
        default=("", longest),
    )
    if longest <= most:
        return
    less = most - (longest - prompt)
    remedy = f"model.max_prompt_tokens={less} or less" if less > 0 else "a smaller rollout.max_new_tokens"
    found = f"{prompt}; with responses up to {longest} tokens, but the model's {name} is {most}"
    raise ConfigError("The model's context is too short", [Problem("model.max_prompt_tokens", found, remedy)])


def attention_window(config: PreTrainedConfig, *, longest: int) -> int | None:
    """Return the smallest number of tokens that a layer attends to, where that is less than all; None otherwise."""
    settings = config.to_dict()
    if set(settings.get("layer_types") or ()) == {"full_attention"}:
        return None
    sizes = [size for name, size in settings.items() if name.endswith(WINDOWS) and isinstance(size, int) and size > 0]
    return min((size for size in sizes if size < longest), default=None)


def fit_tokens(tokens: ChatTokenizer, rows: int) -> None:
    """Check that every token that can come has an embedding; a padding token without one is replaced.

    Args:
        rows: how many tokens the model has an embedding for.

    Raises:
        ModelError: the tokenizer and the model do not belong together.
    """
    if tokens.pad >= rows:
        tokens.pad = tokens.eos
    outside = {name: token for name, token in tokens.hf.get_vocab().items() if token >= rows}
    if not outside:
        return
    needed = {tokens.eos, *tokens.prompt([Message("system", "a"), Message("user", "b")])}
    unused = {*tokens.hf.all_special_ids} - needed
    lost = sorted(name for name, token in outside.items() if token not in unused)
    if lost:
        found = f"{len(lost)} tokens of the tokenizer have no embedding ({rows} rows), such as {lost[0]!r}"
        remedy = "a tokenizer that belongs to the model, or model.resize_token_embeddings before it is saved"
        raise ModelError("the tokenizer does not fit the model", [Problem("model", found, remedy)])


def _short_factors(config: PreTrainedConfig) -> Iterator[int]:
    """Yield the lengths beyond which rotary embeddings change for a whole batch, so its rows are not independent."""
    rope = getattr(config, "rope_parameters", None) or {}
    for each in (rope, *rope.values()):
        if isinstance(each, Mapping) and each.get("rope_type", each.get("type")) == "longrope":
            most = each.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            if isinstance(most, int):
                yield most
