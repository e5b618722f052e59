"""Replies that grow through the library's modules, in three ways; the probe takes the first that is exact.

``padded``: contexts side by side, padded on the left, over the model's own cache. ``alike``: the same, but only
contexts of one length side by side, for models whose layers see the padding. ``reread``: no cache; every token reads
all that is before it, for models whose cache cannot be cut to fewer rows.   B replies, T columns, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from repo_exp.models.library import Body
from repo_exp.models.session import Session

Way = Literal["padded", "alike", "reread"]
WAYS: tuple[Way, ...] = ("padded", "alike", "reread")


def library_session(body: Body, contexts: Sequence[Sequence[int]], *, pad: int, way: Way) -> Session:
    """Read contexts so that replies can grow."""
    return {"padded": PaddedSession, "alike": AlikeSession, "reread": RereadSession}[way](body, contexts, pad=pad)


class PaddedSession:
    """A session over the model's growing cache; contexts are padded on the left.

    Args:
        masked: is the model given a mask? Without padding it needs none, and some cannot take one token with it.
    """

    def __init__(self, body: Body, contexts: Sequence[Sequence[int]], *, pad: int, masked: bool = True) -> None:
        self._body, self._cache, self._masked = body, None, masked
        device, width = body.model.device, max(map(len, contexts))
        token_BT = torch.tensor([[pad] * (width - len(c)) + list(c) for c in contexts], device=device)
        self._mask_BT = torch.tensor([[0] * (width - len(c)) + [1] * len(c) for c in contexts], device=device)
        position_BT = (self._mask_BT.cumsum(1) - 1).clamp(min=0)
        self._position_B = position_BT[:, -1] + 1
        self.last_BH = self._read(token_BT, position_BT)
        if self._cache is None:
            raise ValueError("the model returns no cache")

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token a reply; return the new hidden states, (B, H)."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(token_B), 1)], 1)
        self.last_BH = self._read(token_B[:, None], self._position_B[:, None])
        self._position_B = self._position_B + 1
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Go on with these replies only."""
        self._cache.reorder_cache(row_B)
        self._mask_BT, self._position_B, self.last_BH = (
            each.index_select(0, row_B) for each in (self._mask_BT, self._position_B, self.last_BH)
        )

    def _read(self, token_BT: Tensor, position_BT: Tensor) -> Tensor:
        mask_BT = self._mask_BT if self._masked else None
        hidden, self._cache = self._body.read(token_BT, mask_BT, position_BT, cache=self._cache, keep=True)
        return hidden[:, -1]


class AlikeSession:
    """A session for each length that contexts have, side by side: nothing is padded."""

    def __init__(self, body: Body, contexts: Sequence[Sequence[int]], *, pad: int) -> None:
        device, places = body.model.device, {}
        for place, context in enumerate(contexts):
            places.setdefault(len(context), []).append(place)
        self._parts = [
            (PaddedSession(body, [contexts[i] for i in each], pad=pad, masked=False), torch.tensor(each, device=device))
            for each in places.values()
        ]
        self.last_BH = self._gathered()

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token a reply; return the new hidden states, (B, H)."""
        for session, place_P in self._parts:
            session.step(token_B[place_P])
        self.last_BH = self._gathered()
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Go on with these replies only."""
        parts, self._parts = self._parts, []
        for session, place_P in parts:
            new_P, old_P = (row_B[:, None] == place_P[None]).nonzero(as_tuple=True)
            if len(new_P):
                session.select(old_P)
                self._parts.append((session, new_P))
        self.last_BH = self._gathered()

    def _gathered(self) -> Tensor:
        order_B = torch.cat([place_P for _, place_P in self._parts]).argsort()
        return torch.cat([session.last_BH for session, _ in self._parts])[order_B]


class RereadSession:
    """A session without a cache: rows padded on the right are read whole at every step."""

    def __init__(self, body: Body, contexts: Sequence[Sequence[int]], *, pad: int) -> None:
        self._body, self._pad, self._rows = body, pad, [list(context) for context in contexts]
        self.last_BH = self._read()

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token a reply; return the new hidden states, (B, H)."""
        for row, token in zip(self._rows, token_B.tolist(), strict=True):
            row.append(token)
        self.last_BH = self._read()
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Go on with these replies only."""
        self._rows = [list(self._rows[i]) for i in row_B.tolist()]
        self.last_BH = self.last_BH.index_select(0, row_B)

    def _read(self) -> Tensor:
        device, width = self._body.model.device, max(map(len, self._rows))
        token_BT = torch.tensor([row + [self._pad] * (width - len(row)) for row in self._rows], device=device)
        length_B = torch.tensor([len(row) for row in self._rows], device=device)
        mask_BT = (torch.arange(width, device=device)[None] < length_B[:, None]).long()
        hidden_BTH, _ = self._body.read(token_BT, mask_BT)
        return hidden_BTH[torch.arange(len(self._rows), device=device), length_B - 1]
