"""Keys and values of the tokens read so far, written in place.   B rows, P key-value heads, D channels.

A prefix that all rows share is held once, beside the columns that every row has to itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


class Cache:
    """Room for ``columns`` tokens a row in every layer, a shared prefix not counted; filled from the left.

    Args:
        layers: how many layers write into it.
        shape: (B, P, columns, D).
    """

    def __init__(
        self, layers: int, shape: tuple[int, int, int, int], *, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self._values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.filled = 0
        self._shared_prefix: list[tuple[Tensor, Tensor]] = []

    def put(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B, P, T, D) keys and values behind those that are there; return all so far, as views.

        A single token gets every column there is, filled or not: a product reads whole rows without copying them,
        and the caller's bias hides what is not filled.
        """
        end = self.filled + k.shape[2]
        for store, new in ((self._keys[layer], k), (self._values[layer], v)):
            store[:, :, self.filled : end] = new
        if k.shape[2] == 1:
            return self._keys[layer], self._values[layer]
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def shared_prefix(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Return keys and values, (1, P, S, D) each, of the S tokens that all rows begin with; None without any."""
        return self._shared_prefix[layer] if self._shared_prefix else None

    def set_shared_prefix(self, other: Cache) -> None:
        """Let every row begin with the one row of another cache, which is full."""
        self._shared_prefix = list(zip(other._keys, other._values, strict=True))

    def copy_from(self, other: Cache) -> None:
        """Copy the one row of another cache into the first columns of every row."""
        for mine, theirs in zip([*self._keys, *self._values], [*other._keys, *other._values], strict=True):
            mine[:, :, : other.filled] = theirs[:, :, : other.filled]
        self.filled = other.filled

    @property
    def columns(self) -> int:
        """The tokens a row that there is room for."""
        return self._keys[0].shape[2]

    def grow(self, columns: int) -> None:
        """Make room for so many more. Everything is copied, so not for every token."""
        for stores in (self._keys, self._values):
            for layer, store in enumerate(stores):
                stores[layer] = pad(store, (0, 0, 0, columns))

    def view(self, rows: slice) -> Cache:
        """Return a view of some rows: what is written there is written here."""
        view = object.__new__(Cache)
        view._keys = [store[rows] for store in self._keys]
        view._values = [store[rows] for store in self._values]
        view.filled, view._shared_prefix = self.filled, self._shared_prefix
        return view

    def advance(self, columns: int) -> None:
        """Count columns that every layer has written."""
        self.filled += columns

    def select(self, row_B: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        self._keys = [store.index_select(0, row_B) for store in self._keys]
        self._values = [store.index_select(0, row_B) for store in self._values]
