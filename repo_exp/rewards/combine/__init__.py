"""Combiners, found by file name: each file here combines the scores of all sources into one number."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from repo_exp.errors import Problem, RewardError, did_you_mean
from repo_exp.rewards.combine.interface import Combined, CombineOptions, Combiner
from repo_exp.types import Unit

__all__ = ["CombineOptions", "Combined", "Combiner", "build", "find", "names"]


def names() -> list[str]:
    """Return the names of all combiners."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "interface")


def find(name: str) -> ModuleType:
    """Return the file of a combiner, with the classes ``Options`` and ``Combiner``.

    Raises:
        RewardError: there is no such combiner.
    """
    if name not in names():
        problem = Problem("reward.combine", f"there is no combiner '{name}'", did_you_mean(name, names()))
        raise RewardError("The sources cannot be combined.", [problem])
    return importlib.import_module(f"{__name__}.{name}")


def build(name: str, units: Mapping[str, Unit], reward: Mapping[str, Any]) -> Combiner[Any]:
    """Return a combiner.

    Args:
        name: the name of its file.
        units: source -> unit, of the sources that are combined.
        reward: values for its options by name; others are ignored. An option that is absent has the file's default,
            and ``weights`` and ``tolerance`` are empty.

    Raises:
        RewardError: there is no such combiner.
        pydantic.ValidationError: an option is missing or has an unsuitable value.
    """
    module = find(name)
    values = {"weights": {}, "tolerance": {}, **reward}
    options = module.Options.model_validate({key: values[key] for key in module.Options.model_fields if key in values})
    combiner: Combiner[Any] = module.Combiner(options, units)
    return combiner
