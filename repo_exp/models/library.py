"""The same passes through the modules of ``transformers`` and ``peft``: for any causal language model.

Slower than :mod:`decoder`, and the yardstick that it is tested against.   B replies, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from repo_exp.models.packing import Packed


def hidden(model: Any, packed: Packed) -> Tensor:
    """Return the last hidden states of packed rows, (B, T, H), in the voice of the active adapter."""
    return model.model(
        input_ids=packed.token_BT.to(model.device),
        position_ids=packed.position_BT.to(model.device),
        attention_mask=packed.attention_bias(model.dtype).to(model.device),
        use_cache=False,
    ).last_hidden_state


class LibrarySession:
    """A session over the library's growing cache; contexts are padded on the left."""

    def __init__(self, model: Any, contexts: Sequence[Sequence[int]], *, pad: int) -> None:
        self._model, self._cache = model, DynamicCache()
        width = max(map(len, contexts))
        token_BT = torch.tensor([[pad] * (width - len(c)) + list(c) for c in contexts], device=model.device)
        self._mask_BT = torch.tensor([[0] * (width - len(c)) + [1] * len(c) for c in contexts], device=model.device)
        position_BT = (self._mask_BT.cumsum(1) - 1).clamp(min=0)
        self._position_B = position_BT[:, -1] + 1
        self.last_BH = self._read(token_BT, position_BT)

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token a reply; return the new hidden states, (B, H)."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(token_B), 1)], 1)
        self.last_BH = self._read(token_B[:, None], self._position_B[:, None])
        self._position_B = self._position_B + 1
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Go on with these replies only."""
        self._cache.batch_select_indices(row_B)
        self._mask_BT, self._position_B, self.last_BH = (
            each.index_select(0, row_B) for each in (self._mask_BT, self._position_B, self.last_BH)
        )

    def _read(self, token_BT: Tensor, position_BT: Tensor) -> Tensor:
        return self._model.model(
            input_ids=token_BT,
            attention_mask=self._mask_BT,
            position_ids=position_BT,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
