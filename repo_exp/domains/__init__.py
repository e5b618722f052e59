"""Domains: each is a module or folder here with ``generate(*, seed, ...) -> Corpus``; nothing else is edited."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

from repo_exp.errors import ConfigError, Problem, did_you_mean
from repo_exp.types import Corpus

_NOT_DOMAINS = frozenset({"corpus", "own_data"})


def domain_names() -> list[str]:
    """Return the domains that are there."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_DOMAINS)


def build_corpus(domain: str, *, seed: int, **knobs: Any) -> Corpus:
    """Make the corpus of a domain.

    Args:
        domain: the name of a folder or module in ``repo_exp.domains``.
        seed: fixes everything.
        knobs: what the domain's ``generate`` takes.

    Raises:
        ConfigError: there is no such domain, or it has no such knob.
    """
    names = domain_names()
    if domain not in names:
        raise ConfigError(
            "unknown domain", [Problem("domain.name", f"there is no '{domain}'", did_you_mean(domain, names))]
        )
    generate = getattr(importlib.import_module(f"{__name__}.{domain}"), "generate", None)
    if generate is None:
        raise ConfigError(
            "not a domain",
            [
                Problem(
                    f"repo_exp.domains.{domain}",
                    "it has no function 'generate'",
                    "define generate(*, seed, ...) -> Corpus",
                )
            ],
        )
    parameters = inspect.signature(generate).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        unknown = [
            Problem(f"domain.{knob}", "there is no such knob", did_you_mean(knob, set(parameters) - {"seed"}))
            for knob in knobs
            if knob not in parameters
        ]
        if unknown:
            raise ConfigError(f"the domain '{domain}' has no such knobs", unknown)
    return generate(seed=seed, **knobs)
