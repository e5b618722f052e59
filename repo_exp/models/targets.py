"""Which layers of a model can have an adapter, and which of them a configuration chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from peft import LoraConfig
from peft.tuners import tuners_utils
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from repo_exp.errors import ConfigError, Problem

LINEAR = (nn.Linear, Conv1D)
WHERE = "model.lora.target_modules"


def adaptable(model: PreTrainedModel, called: set[str] | None = None) -> list[str]:
    """Return the names of the linear layers below the output layer, sorted: the ends of them that no other layer has.

    Args:
        model: before any adapter is wrapped around its layers.
        called: the layers that a forward pass calls; None where none was watched. The weight of a layer that is not
            called is read past an adapter, which would then not be trained.
    """
    head = model.get_output_embeddings()
    modules = dict(model.named_modules())
    linear = {name for name, module in modules.items() if isinstance(module, LINEAR) and module is not head}
    # by the last name alone, one that is called stands for all of that name: a token is routed to some experts only
    used = {_last(name) for name in linear if called is None or name in called}
    others = {_last(name) for name, module in modules.items() if name not in linear and module is not head}
    found = {_last(name) for name in linear} & used - others
    return sorted(name for name in found if _peft_takes(model, name))


def chosen(wanted: str | Sequence[str], available: Sequence[str]) -> list[str]:
    """Return the names to adapt.

    Raises:
        ConfigError: there are none, or some of them are not there.
    """
    if wanted == "all-linear":
        wanted = available
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in names if not any(f".{name}".endswith(f".{layer}") for layer in available)]
    if unknown or not names:
        remedy = f"all-linear, or some of {', '.join(available)}" if available else "another model: no layer is linear"
        found = f"no adapter can be put on {', '.join(unknown)}" if unknown else "no layer is named"
        raise refusal(Problem(WHERE, found, remedy))
    return names


def excluded(model: PreTrainedModel, names: Sequence[str]) -> list[str] | None:
    """Return the output layer's name where a layer below it has the same last name; else None."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if module is head and _last(name) in names] or None


def _last(name: str) -> str:
    """Return the end of a layer's name from its last word on: ``q_proj``, or ``ffn.0`` where a number is last."""
    parts = name.split(".")
    word = next((i for i in reversed(range(len(parts))) if not parts[i].isdigit()), 0)
    return ".".join(parts[word:])


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what peft refuses as a problem of the configuration.

    Raises:
        ConfigError: peft raised a ValueError.
    """
    try:
        yield
    except ValueError as error:
        remedy = f"{WHERE}=all-linear; and null in model.lora.last_layers, where a model's layers have no usual numbers"
        raise refusal(Problem("model.lora", str(error).splitlines()[0], remedy)) from error


def refusal(problem: Problem) -> ConfigError:
    """Return the error with this problem."""
    return ConfigError("The adapters cannot be made", [problem])


def _peft_takes(model: nn.Module, name: str) -> bool:
    """Does peft put an adapter on layers of this name? Some kernels of state-space models read the weight past it."""
    try:
        tuners_utils._check_lora_target_modules_mamba(LoraConfig(), model, name)
    except ValueError:
        return False
    return True
