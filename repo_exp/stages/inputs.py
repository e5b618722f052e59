"""An input record as JSON: what the address of an artifact is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel


def as_json(value: object) -> Any:
    """Return an input record as the JSON that its address is computed from.

    A value with a ``fingerprint`` is represented by it: model weights, data files, rules, rubrics. Dataclasses and
    sections of the configuration become mappings of their fields.

    Raises:
        TypeError: a value is neither JSON nor has a fingerprint.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "fingerprint"):
        return as_json(value.fingerprint)
    if isinstance(value, BaseModel):
        return {name: as_json(getattr(value, name)) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    raise TypeError(f"{type(value).__name__} in the inputs of a stage is neither JSON nor has a fingerprint")
