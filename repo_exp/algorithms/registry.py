"""Finds a method by the name of its file: its options without torch, its algorithm with it."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from repo_exp.algorithms import options as folder
from repo_exp.algorithms.options.base import CreditFrom, LearnsFrom, MethodOptions
from repo_exp.errors import ConfigError, Problem, did_you_mean


def names() -> list[str]:
    """Return the methods: every file of ``algorithms/options`` but ``base``."""
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name != "base")


def options_of(kind: str) -> type[MethodOptions]:
    """Return a method's class ``Options``. This imports no torch.

    Raises:
        ConfigError: if there is no such method.
    """
    options: type[MethodOptions] = importlib.import_module(f"repo_exp.algorithms.options.{_existing(kind)}").Options
    return options


def find(kind: str) -> ModuleType:
    """Return a method's module of ``algorithms``; it has a class ``Algorithm`` if it trains beyond SFT.

    Raises:
        ConfigError: if there is no such method.
    """
    return importlib.import_module(f"repo_exp.algorithms.{_existing(kind)}")


def learns_from(kind: str) -> LearnsFrom:
    """Return what a method learns from beyond SFT; :class:`MethodOptions` has the list."""
    return options_of(kind).learns_from


def credit_from(kind: str) -> CreditFrom:
    """Return what an online method's advantages are made of; :class:`MethodOptions` has the list."""
    return options_of(kind).credit_from


def _existing(kind: str) -> str:
    if kind not in names():
        raise ConfigError("no such algorithm", [Problem("algorithm.kind", f"'{kind}'", did_you_mean(kind, names()))])
    return kind
