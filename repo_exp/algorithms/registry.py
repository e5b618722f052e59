"""Finds an algorithm by the name of its file."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Literal

import repo_exp.algorithms as folder
from repo_exp.errors import ConfigError, Problem, did_you_mean

OTHERS = ("interface", "registry")  # files of the folder that are no algorithm


def names() -> list[str]:
    """Return the algorithms there are: every file of this folder with a class ``Options`` in it."""
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name not in OTHERS)


def find(kind: str) -> ModuleType:
    """Return the algorithm's module: ``Options``, ``online`` and, for methods that learn, ``Algorithm``."""
    if kind not in names():
        raise ConfigError("no such algorithm", [Problem("algorithm.kind", f"'{kind}'", did_you_mean(kind, names()))])
    return importlib.import_module(f"repo_exp.algorithms.{kind}")


def learns_from(module: ModuleType) -> Literal["own replies", "pairs", "nothing"]:
    """Return what a method learns from beyond SFT.

    own replies   online: it samples, a reward says what the replies are worth
    pairs         offline: replies that are there, the better one known; it samples nothing and asks no reward
    nothing       the policy is the SFT policy
    """
    if module.online:
        return "own replies"
    return "pairs" if hasattr(module, "Algorithm") else "nothing"


def credit_from(module: ModuleType) -> Literal["total", "sources", "value model", "nothing"]:
    """Return what an online method's credit is made of.

    total         what the join makes of the sources
    sources       each source by itself; the join's total is for the record
    value model   what was learnt beforehand; the sources are for the record
    nothing       the method asks no reward
    """
    return getattr(module, "credit_from", "total") if module.online else "nothing"
