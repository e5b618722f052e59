"""Converts OmegaConf's containers to plain ones."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def as_written(node: DictConfig) -> dict[str, Any]:
    """Return a mapping with its interpolations as they are written."""
    values = OmegaConf.to_container(node, resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def text_of(node: DictConfig | ListConfig, key: str | int) -> str:
    """Return the text of one value as it is written."""
    if isinstance(node, DictConfig):
        return str(as_written(node)[str(key)])
    values = OmegaConf.to_container(node, resolve=False)
    assert isinstance(values, list)
    return str(values[int(key)])
