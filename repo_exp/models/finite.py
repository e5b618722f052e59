"""Weights that are not finite: a check of all that is written to the store and read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor


def not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that hold a NaN or an infinity."""
    return [name for name, weight in weights.items() if not _is_finite(weight)]


def broken_weights(path: Path) -> list[str]:
    """Return the names of a safetensors file's tensors that are not finite, one tensor in memory at a time.

    A file that cannot be read is a single finding.
    """

    def found() -> Iterator[str]:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # it cannot be iterated itself
            yield from (name for name in names if not _is_finite(file.get_tensor(name)))

    try:
        return list(found())
    except (OSError, SafetensorError) as error:
        return [f"cannot be read: {str(error).splitlines()[0]}"]


def _is_finite(weight: Tensor) -> bool:
    return not weight.is_floating_point() or weight.itemsize < 2 or bool(weight.isfinite().all())
