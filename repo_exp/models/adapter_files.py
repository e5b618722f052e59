"""A role on disk: the adapter in peft's own layout, and the head of a scalar role beside it.

``PeftModel.from_pretrained(model, folder)`` reads the adapter without this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from repo_exp.durable import refusals, write_bytes, write_text
from repo_exp.models.finite import not_finite

ADAPTER, CONFIG, HEAD = "adapter_model.safetensors", "adapter_config.json", "head.safetensors"


def save(model: PeftModel, role: str, head: nn.Module | None, folder: Path) -> None:
    """Write a role's adapter and head.

    Raises:
        WriteError: a file cannot be written.
    """
    state = get_peft_model_state_dict(model, adapter_name=role)
    write_bytes(folder / ADAPTER, as_bytes({name: weight.contiguous() for name, weight in state.items()}))
    with refusals(folder):
        model.peft_config[role].save_pretrained(str(folder))
    # peft keeps the targets as a set, whose order is another one in every process
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    write_text(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True))
    if head is not None:
        write_bytes(folder / HEAD, as_bytes(head.state_dict()))


def load(model: PeftModel, role: str, head: nn.Module | None, folder: Path) -> None:
    """Read the weights of a role that is there into its adapter and head.

    Raises:
        OSError, SafetensorError: a file cannot be read.
        RuntimeError: a head has another shape.
        ValueError: weights are missing, unknown, of another shape, or not finite.
    """
    adapter = load_file(folder / ADAPTER)
    head_weights: Mapping[str, Tensor] = {} if head is None else load_file(folder / HEAD)
    if broken := [name for weights in (adapter, head_weights) for name in not_finite(weights)]:
        raise ValueError(f"{len(broken)} weights are not finite, the first is {broken[0]}")
    expected = get_peft_model_state_dict(model, adapter_name=role)
    if other := [name for name in adapter if name in expected and adapter[name].shape != expected[name].shape]:
        shapes = f"{[*adapter[other[0]].shape]} instead of {[*expected[other[0]].shape]}"
        raise ValueError(f"{len(other)} weights have another shape, the first is {other[0]}: {shapes}")
    result: Any = set_peft_model_state_dict(model, adapter, role)
    missing = [name for name in result.missing_keys if f".{role}." in name]
    if missing or result.unexpected_keys:
        raise ValueError(f"{len(missing)} weights missing, {len(result.unexpected_keys)} unknown")
    if head is not None:
        head.load_state_dict(head_weights)
