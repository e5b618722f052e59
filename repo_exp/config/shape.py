"""The size of a model, as far as its files tell without loading it: for the checks of memory and rank."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_exp.gguf_header import read_header

BYTES = {"float32": 4, "bfloat16": 2}
_BILLIONS = {"B": 1e9, "M": 1e6}
_RANDOM_VOCABULARY = 300  # of random models: bytes and a few control tokens


@dataclass(frozen=True)
class Shape:
    """The size of a model; None where it is not known.

    Attributes:
        parameters: how many weights it has.
        hidden: the width of its hidden states.
        layers: decoder layers.
        widths: sum of inputs and outputs of the linear maps in a layer: what an adapter has for each unit of its rank.
    """

    parameters: float | None = None
    hidden: int | None = None
    layers: int | None = None
    widths: int | None = None


def shape_of(model: Any) -> Shape:
    """Return the shape of the model of a ``model`` section."""
    found: Mapping[str, Any] = {}
    size: float | None = None
    if model.source == "random" and model.random is not None:
        found = {**model.random.model_dump(), "vocab_size": _RANDOM_VOCABULARY}
        found |= {"num_hidden_layers": found["layers"], "num_attention_heads": found["heads"]}
        found |= {"num_key_value_heads": found["key_value_heads"]}
    elif model.source == "folder" and model.folder:
        folder = Path(model.folder)
        found, size = _json(folder / "config.json"), _stored(folder, BYTES.get(model.dtype, 2))
    else:
        header = _packaged(model) if model.source in ("auto", "package") else {}
        found = header or (_cached(model.hub) if model.source in ("auto", "hub") and model.hub else {})
    computed = _computed(found)
    named = _named(model.hub) if model.source in ("auto", "hub", "package") else None
    return Shape(
        parameters=size or computed.parameters or named,
        hidden=computed.hidden,
        layers=computed.layers,
        widths=computed.widths,
    )


def _computed(config: Mapping[str, Any]) -> Shape:
    """Return the shape that a ``config.json`` describes, for decoders of Llama's kind; less for others."""

    def first(*names: str) -> int | None:
        return next((config[name] for name in names if isinstance(config.get(name), int)), None)

    hidden, layers = first("hidden_size", "n_embd"), first("num_hidden_layers", "n_layer")
    middle = first("intermediate_size")
    heads, vocabulary = first("num_attention_heads"), first("vocab_size")
    if hidden is None or layers is None or middle is None or not heads or vocabulary is None:
        return Shape(hidden=hidden, layers=layers)
    width = first("head_dim") or hidden // heads
    queries, keys = heads * width, (first("num_key_value_heads") or heads) * width
    # query, key, value, output; gate, up, down
    maps = [(hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden), *[(hidden, middle)] * 3]
    weights = layers * sum(rows * columns for rows, columns in maps) + vocabulary * hidden
    return Shape(weights, hidden, layers, sum(rows + columns for rows, columns in maps))


def _named(hub: str | None) -> float | None:
    """Qwen/Qwen3-0.6B -> 600 million; None where a name says nothing."""
    found = re.search(r"(?:^|[-_/])(\d+(?:\.\d+)?)([BM])(?:[-_.]|$)", hub or "", re.IGNORECASE)
    return float(found[1]) * _BILLIONS[found[2].upper()] if found else None


def _stored(folder: Path, each: int) -> float | None:
    """Return how many weights the files of a folder hold, if they are of the size that the configuration says."""
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.glob("*.safetensors")) / each or None
    return None


def _json(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _cached(hub: str) -> dict[str, Any]:
    """Return the ``config.json`` of a model on the hub that was downloaded before; nothing is downloaded here."""
    from huggingface_hub import try_to_load_from_cache

    with contextlib.suppress(Exception):  # a name that the hub could not have; whoever loads the model says so
        path = try_to_load_from_cache(hub, "config.json")
        return _json(Path(path)) if isinstance(path, str) else {}
    return {}


def _packaged(model: Any) -> dict[str, Any]:
    """Return what the GGUF file of an installed package says of its model, named as in ``config.json``."""
    with contextlib.suppress(OSError, ValueError, ImportError):
        spec = importlib.util.find_spec(model.package) if model.package else None
        if spec is not None and spec.origin and model.gguf:
            header = read_header(Path(spec.origin).parent / model.gguf)
            kind = header.get("general.architecture", "")
            return {name: header[f"{kind}.{key}"] for name, key in _GGUF.items() if f"{kind}.{key}" in header}
    return {}


_GGUF = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "vocab_size": "vocab_size",
}
