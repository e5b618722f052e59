"""Finds a domain by its name: every folder of ``repo_exp/domains`` is one, and ``own`` is your own data."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from repo_exp import domains
from repo_exp.domains.interface import DataOptions, EnvironmentFactory
from repo_exp.domains.single_turn import SingleTurn
from repo_exp.errors import ConfigError, Problem, did_you_mean
from repo_exp.types import Corpus, Role

OWN, _OWN_FOLDER = "own", "own_data"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain: what its folder defines, and defaults for the rest (``interface`` says what each is for)."""

    name: str
    Options: type[DataOptions]
    corpus: Callable[..., Corpus]
    environment: EnvironmentFactory = SingleTurn
    speakers: Mapping[Role, str] = field(default_factory=dict)


def names() -> list[str]:
    """Return the domains that generate a corpus."""
    return sorted(
        each.name for each in pkgutil.iter_modules(domains.__path__) if each.ispkg and each.name != _OWN_FOLDER
    )


def find(name: str) -> Domain:
    """Return a domain.

    Raises:
        ConfigError: there is none of this name, or its folder does not define what a domain needs.
    """
    if name not in (*names(), OWN):
        remedy = did_you_mean(name, [*names(), OWN])
        raise ConfigError("unknown domain", [Problem("domain.name", f"there is no domain {name!r}", remedy)])
    module = importlib.import_module(f"{domains.__name__}.{_OWN_FOLDER if name == OWN else name}")
    return Domain(
        name,
        _defined(module, "Options", "a subclass of DomainOptions"),
        _defined(module, "corpus", "a function corpus(*, seed, options) -> Corpus"),
        _environment(module),
        getattr(module, "SPEAKERS", {}),
    )


def _defined(module: ModuleType, attribute: str, what: str) -> Any:
    found = getattr(module, attribute, None)
    if found is None:
        remedy = f"define {what}; docs/extending.md has an example"
        problem = Problem("domain.name", f"{module.__name__} does not define {attribute!r}", remedy)
        raise ConfigError("not a domain", [problem])
    return found


def _environment(module: ModuleType) -> EnvironmentFactory:
    found = getattr(module, "environment", SingleTurn)
    return found if callable(found) else SingleTurn  # a file environment.py is no factory
