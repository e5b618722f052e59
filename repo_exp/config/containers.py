"""OmegaConf's mappings as plain ones."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf


def as_written(node: DictConfig) -> dict[str, Any]:
    """Return a mapping with its interpolations as they are written."""
    values = OmegaConf.to_container(node, resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}
