"""A conversation under way: contexts are read once, then replies grow token by token.   B replies, H hidden size.

What all contexts begin with is read once for all of them, and where it is long it is also kept once: a step then
reads it once for all replies. A context that several replies answer is read once for all of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, constant_pad_nd

from repo_exp.models.cache import Cache
from repo_exp.models.decoder import Decoder, Voice
from repo_exp.models.layout import Layout
from repo_exp.models.packing import shared_beginning

READ_AT_ONCE = 4096  # tokens, padding counted; the memory of reading hangs on it
GROWTH = 64  # tokens of replies that room is made for at once: a step looks at all the room, filled or not
WORTH_APART = 128  # tokens of a common beginning from which looking at it apart is faster than in every row


class Session(Protocol):
    """Replies that grow side by side."""

    last_BH: Tensor  # hidden states after the last token read

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token a reply; return the new hidden states, (B, H)."""
        ...

    def select(self, row_B: Tensor) -> None:
        """Go on with these replies only."""
        ...


class DecoderSession:
    """A session on :class:`Decoder`, over a cache that grows now and then.

    Args:
        contexts: what each reply answers; equal ones are read once.
        room: tokens that a reply may have.
    """

    def __init__(
        self, decoder: Decoder, voice: Voice, contexts: Sequence[Sequence[int]], *, room: int, pad: int
    ) -> None:
        self._decoder, self._voice, self._pad = decoder, voice, pad
        weight = decoder.embedding.weight
        self._device, self._dtype, self._low = weight.device, weight.dtype, torch.finfo(weight.dtype).min
        place: dict[tuple[int, ...], int] = {}
        row_B = torch.tensor([place.setdefault(tuple(c), len(place)) for c in contexts], device=self._device)
        different = [list(context) for context in place]
        shared = shared_beginning(contexts)
        if len(different) == 1 and shared < WORTH_APART:
            shared = 0  # read in one go
        copied = shared if shared < WORTH_APART else 0  # columns that every row has of the common beginning
        rests = [context[shared:] for context in different]
        width = max(map(len, rests))
        at_first = min(room, GROWTH)
        columns, self._room = copied + width + at_first, room - at_first
        self._cache = self._laid_out(len(rests), columns)
        if shared:
            once = self._read_shared(different[0][:shared])
            self._cache.read(once) if copied else self._cache.begin_with(once)
        # where a reply may look: its own context, not the padding before it, and what it has of itself
        self._bias = torch.full((len(rests), 1, 1, columns), self._low, dtype=self._dtype, device=self._device)
        for row, rest in enumerate(rests):
            self._bias[row, ..., :copied] = 0
            self._bias[row, ..., copied + width - len(rest) : copied + width] = 0
        self.last_BH = torch.cat(
            [self._read(rests, rows, width, shared, copied) for rows in _chunks(len(rests), width)]
        )  # fmt: skip
        self._cache.advance(width)
        self._position_B = torch.tensor([len(context) for context in different], device=self._device)
        if len(different) < len(contexts):
            self.select(row_B)

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token a reply; return the new hidden states, (B, H)."""
        if self._cache.filled == self._cache.columns:
            more = min(self._room, GROWTH)
            self._cache.grow(more)
            self._bias = constant_pad_nd(self._bias, (0, more), self._low)
            self._room -= more
        self._bias[..., self._cache.filled] = 0
        position_B1 = self._position_B[:, None]
        self.last_BH = self._decoder.run(token_B[:, None], position_B1, self._bias, self._voice, self._cache)
        self._position_B = self._position_B + 1
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Go on with these replies only."""
        self._cache.select(row_B)
        self._bias, self._position_B, self.last_BH = (
            each.index_select(0, row_B) for each in (self._bias, self._position_B, self.last_BH)
        )

    def _laid_out(self, rows: int, columns: int) -> Cache:
        decoder = self._decoder
        shape = (rows, decoder.key_value_heads, columns, decoder.channels)
        return Cache(len(decoder.layers), shape, dtype=self._dtype, device=self._device)

    def _read_shared(self, tokens: Sequence[int]) -> Cache:
        once = self._laid_out(1, len(tokens))
        position_1T = torch.arange(len(tokens), device=self._device)[None]
        bias = torch.full((1, 1, len(tokens), len(tokens)), self._low, dtype=self._dtype, device=self._device).triu(1)
        self._decoder.run(torch.tensor([tokens], device=self._device), position_1T, bias, self._voice, once)
        return once

    def _read(self, rests: Sequence[Sequence[int]], rows: slice, width: int, shared: int, copied: int) -> Tensor:
        """Read what differs of some contexts, padded on the left; return their last hidden states, (rows, H)."""
        part = rests[rows]
        token_BT = torch.tensor([[self._pad] * (width - len(r)) + list(r) for r in part], device=self._device)
        before_B1 = torch.tensor([[width - len(rest)] for rest in part], device=self._device)
        position_BT = shared + (torch.arange(width, device=self._device)[None] - before_B1).clamp(min=0)
        later_TT = torch.ones(width, width, dtype=torch.bool, device=self._device).triu(1)
        bias = self._bias[rows, ..., : copied + width].repeat(1, 1, width, 1)
        own = bias[..., copied:]
        own.masked_fill_(later_TT, self._low)
        own.diagonal(dim1=2, dim2=3).zero_()  # padding sees itself: its softmax must sum to something
        real_BT = torch.arange(width, device=self._device)[None] >= before_B1
        layout = Layout(*token_BT.shape, real_BT=real_BT)
        row_B = torch.arange(len(part), device=self._device)
        last_B = layout.place(row_B, torch.full_like(row_B, width - 1))
        cache = self._cache.part(rows)
        return self._decoder.run(token_BT, position_BT, bias, self._voice, cache, layout=layout, wanted=last_B)


def _chunks(rows: int, width: int) -> Iterator[slice]:
    size = max(1, READ_AT_ONCE // width)
    for start in range(0, rows, size):
        yield slice(start, start + size)
