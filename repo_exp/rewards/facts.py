"""Look up a value in the facts of a prompt by a dotted path, such as ``tickets.*.selling_price``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def values_at(facts: Mapping[str, Any], path: str) -> list[Any]:
    """Return every value at ``path``; ``*`` stands for each element of a list or mapping.

    What is absent is ``None``, so that two paths under the same ``*`` stay side by side.
    """
    found: list[Any] = [facts]
    for step in path.split("."):
        found = [value for parent in found for value in _children(parent, step)]
    return found


def numbers_at(facts: Mapping[str, Any], path: str) -> list[float]:
    """Return the finite numbers at ``path``, without what is absent or something else."""
    return [float(value) for value in values_at(facts, path) if is_number(value)]


def is_number(value: object) -> bool:
    """Is this a finite number (and not a truth value)?"""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _children(parent: object, step: str) -> list[Any]:
    if step == "*":
        if isinstance(parent, Mapping):
            return list(parent.values())
        return list(parent) if isinstance(parent, list | tuple) else []
    if isinstance(parent, Mapping):
        return [parent.get(step)]
    if isinstance(parent, list | tuple) and step.isdecimal() and int(step) < len(parent):
        return [parent[int(step)]]
    return [None]
