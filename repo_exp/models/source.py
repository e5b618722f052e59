"""Reading the backbone's weights: from a folder in the hub's format, the hub, or a random seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from repo_exp.errors import ModelError, Problem
from repo_exp.models.place import OFFLINE, RANDOM_POSITIONS
from repo_exp.models.tokens import byte_tokenizer

hf_logging.disable_progress_bar()  # a stage has a bar of its own


def read(
    place: str | Path, *, dtype: torch.dtype, attention: str, revision: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a causal language model and its tokenizer from a folder, or the hub at a commit. Code in it is not run.

    Raises:
        ModelError: nothing there can be read; says why and what would work.
    """
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(place, **where)
        text = config.get_text_config()
        if (text.pad_token_id or 0) >= text.vocab_size:  # an embedding cannot be made with it, and nobody reads it
            text.pad_token_id = None
        options = {"config": config, "dtype": dtype, **where}
        try:
            model = AutoModelForCausalLM.from_pretrained(place, attn_implementation=attention, **options)
        except ValueError as error:  # not every architecture has every kind of attention; all have the plain one
            if attention == "eager" or "attn_implementation" not in str(error):
                raise
            model = AutoModelForCausalLM.from_pretrained(place, attn_implementation="eager", **options)
        return model, AutoTokenizer.from_pretrained(place, **where)
    except Exception as error:  # each library has errors of its own for files that it cannot read
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        remedy = OFFLINE
        if "trust_remote_code" in str(error):
            reason = "its architecture or tokenizer is code in its own files, which is not run"
            remedy = "a model whose architecture the installed transformers knows"
        problem = Problem("model", f"'{place}' gave: {reason or type(error).__name__}", remedy)
        raise ModelError("the model cannot be read", [problem]) from error


@dataclass(frozen=True, slots=True)
class RandomShape:
    """The section ``model.random``: the shape of a model with random weights."""

    architecture: Literal["llama", "qwen3"]
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int


def random_model(
    shape: RandomShape, *, dtype: torch.dtype, attention: str, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model of this shape with random weights, and the byte tokenizer that fits it."""
    from transformers import LlamaConfig, Qwen3Config

    tokenizer = byte_tokenizer()
    family = LlamaConfig if shape.architecture == "llama" else Qwen3Config
    config = family(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.hidden_size // shape.heads,
        max_position_embeddings=RANDOM_POSITIONS,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
        # the usual 0.02 is for wide models: here it would leave logits too small for any adapter to matter
        initializer_range=shape.hidden_size**-0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    return model, tokenizer
