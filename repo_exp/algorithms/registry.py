"""Finds an algorithm by the name of its file."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import repo_exp.algorithms as folder
from repo_exp.errors import ConfigError, Problem, did_you_mean

OTHERS = ("interface", "registry")  # files of the folder that are no algorithm


def names() -> list[str]:
    """Return the algorithms there are: every file of this folder with a class ``Options`` in it."""
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name not in OTHERS)


def find(kind: str) -> ModuleType:
    """Return the algorithm's module: ``Options``, ``online`` and, for online methods, ``Algorithm``."""
    if kind not in names():
        raise ConfigError("no such algorithm", [Problem("algorithm.kind", f"'{kind}'", did_you_mean(kind, names()))])
    return importlib.import_module(f"repo_exp.algorithms.{kind}")
