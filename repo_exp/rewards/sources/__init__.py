"""Reward sources, found by file name: a file here is a kind of source.

``reward.sources`` names any number of sources, each with its kind: ``rm2: {kind: reward_model, seed: 1}``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from repo_exp.errors import Problem, RewardError, did_you_mean
from repo_exp.rewards.interface import SourceOptions, describe
from repo_exp.types import SourceInfo


def kinds() -> list[str]:
    """Return the names of all kinds."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def find(kind: str) -> ModuleType:
    """Return the file of a kind, with the classes ``Options`` and ``Source``.

    Raises:
        RewardError: there is no such kind.
    """
    if kind not in kinds():
        problem = Problem("reward.sources", f"there is no kind of source '{kind}'", did_you_mean(kind, kinds()))
        raise RewardError("The reward cannot be built.", [problem])
    return importlib.import_module(f"{__name__}.{kind}")


def options_of(entry: Mapping[str, Any]) -> SourceOptions:
    """Return a typed entry of ``reward.sources``.

    Raises:
        RewardError: there is no such kind.
        pydantic.ValidationError: a value is unsuitable.
    """
    options: SourceOptions = find(str(entry["kind"])).Options.model_validate(dict(entry))
    return options


def info_of(name: str, entry: Mapping[str, Any]) -> SourceInfo:
    """Return how a source is named in metrics and reports, without building it.

    Raises:
        RewardError: there is no such kind.
    """
    kind = str(entry["kind"])
    return describe(find(kind).Source, name, kind)
