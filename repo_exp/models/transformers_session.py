"""Decoding through the library's modules, in three ways; the probe takes the first that is exact.

``padded``: prompts side by side, padded on the left, over the model's own cache. ``same_length``: the same, but only
prompts of one length side by side, for models whose layers see the padding. ``no_cache``: every token reads all tokens
before it again, for models whose cache cannot be cut to fewer rows.   B completions, T columns, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from repo_exp.models.packing import padded
from repo_exp.models.session import Session
from repo_exp.models.transformers_body import Body

Decoding = Literal["padded", "same_length", "no_cache"]
DECODINGS: tuple[Decoding, ...] = ("padded", "same_length", "no_cache")


def transformers_session(body: Body, prompts: Sequence[Sequence[int]], *, pad: int, decoding: Decoding) -> Session:
    """Read prompts, so that completions can grow.

    Raises:
        ValueError: the model has no cache, and the decoding needs one.
    """
    if decoding == "no_cache":
        return NoCacheSession(body, prompts, pad=pad)
    return (PaddedSession if decoding == "padded" else SameLengthSession)(body, prompts, pad=pad)


class PaddedSession:
    """A session over the model's growing cache; prompts are padded on the left.

    Args:
        masked: does the model get a mask? Without padding it needs none, and some cannot take one token with it.
    """

    def __init__(self, body: Body, prompts: Sequence[Sequence[int]], *, pad: int, masked: bool = True) -> None:
        self._body, self._masked = body, masked
        self._cache: Any = None  # of a class of the model's own
        token_BT = padded(prompts, pad, left=True).to(body.model.device)
        self._mask_BT = padded([[1] * len(prompt) for prompt in prompts], 0, left=True).to(body.model.device)
        position_BT = (self._mask_BT.cumsum(1) - 1).clamp(min=0)
        self._position_B = position_BT[:, -1] + 1
        self.last_BH = self._forward(token_BT, position_BT)
        if self._cache is None:
            raise ValueError("the model returns no cache")

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of each completion; return the new hidden states, (B, H)."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(token_B), 1)], 1)
        self.last_BH = self._forward(token_B[:, None], self._position_B[:, None])
        self._position_B = self._position_B + 1
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Continue with these completions only."""
        self._cache.reorder_cache(row_B)
        self._mask_BT, self._position_B, self.last_BH = (
            each.index_select(0, row_B) for each in (self._mask_BT, self._position_B, self.last_BH)
        )

    def _forward(self, token_BT: Tensor, position_BT: Tensor) -> Tensor:
        mask_BT = self._mask_BT if self._masked else None
        hidden_BTH, self._cache = self._body.forward(token_BT, mask_BT, position_BT, cache=self._cache, keep=True)
        return hidden_BTH[:, -1]


class SameLengthSession:
    """A session for each length that prompts have, side by side: nothing is padded."""

    def __init__(self, body: Body, prompts: Sequence[Sequence[int]], *, pad: int) -> None:
        device = body.model.device
        of_length: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            of_length.setdefault(len(prompt), []).append(row)
        self._sessions = [
            (PaddedSession(body, [prompts[i] for i in rows], pad=pad, masked=False), torch.tensor(rows, device=device))
            for rows in of_length.values()
        ]
        self.last_BH = self._in_order()

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of each completion; return the new hidden states, (B, H)."""
        for session, row_P in self._sessions:
            session.step(token_B[row_P])
        self.last_BH = self._in_order()
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Continue with these completions only."""
        sessions, self._sessions = self._sessions, []
        for session, row_P in sessions:
            new_P, old_P = (row_B[:, None] == row_P[None]).nonzero(as_tuple=True)
            if len(new_P):
                session.select(old_P)
                self._sessions.append((session, new_P))
        self.last_BH = self._in_order()

    def _in_order(self) -> Tensor:
        order_B = torch.cat([row_P for _, row_P in self._sessions]).argsort()
        return torch.cat([session.last_BH for session, _ in self._sessions])[order_B]


class NoCacheSession:
    """A session without a cache: rows padded on the right are read whole at every step."""

    def __init__(self, body: Body, prompts: Sequence[Sequence[int]], *, pad: int) -> None:
        self._body, self._pad, self._rows = body, pad, [list(prompt) for prompt in prompts]
        self.last_BH = self._forward()

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of each completion; return the new hidden states, (B, H)."""
        for row, token in zip(self._rows, token_B.tolist(), strict=True):
            row.append(token)
        self.last_BH = self._forward()
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Continue with these completions only."""
        self._rows = [list(self._rows[i]) for i in row_B.tolist()]
        self.last_BH = self.last_BH.index_select(0, row_B)

    def _forward(self) -> Tensor:
        device = self._body.model.device
        mask_BT = padded([[1] * len(row) for row in self._rows], 0).to(device)
        hidden_BTH, _ = self._body.forward(padded(self._rows, self._pad).to(device), mask_BT)
        length_B = mask_BT.sum(1)
        return hidden_BTH[torch.arange(len(self._rows), device=device), length_B - 1]
