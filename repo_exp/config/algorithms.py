"""An algorithm's section is typed by the class ``Options`` of ``repo_exp/algorithms/<kind>.py``."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

# Imported inside the functions: an algorithm's file brings torch with it, and help and names need none.


def known_algorithms() -> list[str]:
    """Return the names of all algorithms: the files of ``repo_exp/algorithms``."""
    from repo_exp.algorithms import registry

    return registry.names()


def algorithm_module(kind: str) -> ModuleType:
    """Return the file of an algorithm.

    Raises:
        ConfigError: if there is no such algorithm.
    """
    from repo_exp.algorithms import registry

    return registry.find(kind)


def algorithm_options(section: Mapping[str, Any]) -> Any:
    """Return the typed options of an ``algorithm`` section.

    Raises:
        pydantic.ValidationError: if a value is unsuitable.
    """
    return algorithm_module(str(section["kind"])).Options.model_validate(dict(section), strict=True)
