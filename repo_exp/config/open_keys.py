"""The mappings with free keys: sections that the schema types as ``dict``."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from repo_exp.config.schema import Config


@functools.cache
def open_mappings() -> frozenset[str]:
    """Return the paths of these sections. The algorithm's is not one of them: its ``Options`` type it."""
    return frozenset(_inside(Config, "")) - {"algorithm"}


def _inside(annotation: Any, path: str) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, each in annotation.model_fields.items():
            yield from _inside(each.annotation, f"{path}.{name}" if path else name)
    elif get_origin(annotation) is dict:
        yield path
    else:
        for member in get_args(annotation):
            yield from _inside(member, path)
