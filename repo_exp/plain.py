"""Converts values to what JSON can hold. Every file that this package writes goes through here."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return ``value`` with dataclasses as mappings, tuples as lists, and None for numbers that are not finite."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, numbers.Real) and not isinstance(value, int):  # NumPy's numbers as well
        return float(value) if math.isfinite(value) else None
    return value
