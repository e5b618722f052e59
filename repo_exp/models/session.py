"""Decoding with a cache: prompts are read once, then completions grow token by token.   B completions, H hidden size.

A prefix that all prompts share is read once for all of them, and where it is long it is also kept once: a step then
reads it once for all completions. A prompt with several completions is read once for all of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, constant_pad_nd

from repo_exp.models.adapter_weights import AdapterWeights
from repo_exp.models.cache import Cache
from repo_exp.models.decoder import Decoder
from repo_exp.models.layout import Layout
from repo_exp.models.packing import padded, shared_prefix_length

READ_AT_ONCE = 4096  # prompt tokens, padding counted; the memory of reading depends on it
GROWTH = 64  # tokens of each completion that room is made for at once: a step attends to all the room, filled or not
KEPT_ONCE = 128  # tokens of a shared prefix from which keeping it once is faster than in every row


class Session(Protocol):
    """Completions that grow side by side."""

    last_BH: Tensor  # hidden states after the last token read

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of each completion; return the new hidden states, (B, H)."""
        ...

    def select(self, row_B: Tensor) -> None:
        """Continue with these completions only."""
        ...


class DecoderSession:
    """A session on :class:`Decoder`, over a cache that grows now and then.

    Args:
        prompts: the prompt of each completion; equal ones are read once.
        room: tokens that a completion may have.
    """

    def __init__(
        self, decoder: Decoder, adapter: AdapterWeights, prompts: Sequence[Sequence[int]], *, room: int, pad: int
    ) -> None:
        self._decoder, self._adapter, self._pad = decoder, adapter, pad
        weight = decoder.embedding.weight
        self._device, self._dtype, self._low = weight.device, weight.dtype, torch.finfo(weight.dtype).min
        row_of: dict[tuple[int, ...], int] = {}
        row_B = torch.tensor([row_of.setdefault(tuple(c), len(row_of)) for c in prompts], device=self._device)
        different = [list(prompt) for prompt in row_of]
        shared = shared_prefix_length(prompts)
        if len(different) == 1 and shared < KEPT_ONCE:
            shared = 0  # read in one go
        copied = shared if shared < KEPT_ONCE else 0  # columns of every row that the shared prefix is copied into
        rests = [prompt[shared:] for prompt in different]
        width = max(map(len, rests))
        at_first = min(room, GROWTH)
        columns, self._room = copied + width + at_first, room - at_first
        self._cache = self._empty_cache(len(rests), columns)
        if shared:
            prefix = self._read_shared(different[0][:shared])
            self._cache.copy_from(prefix) if copied else self._cache.set_shared_prefix(prefix)
        # a completion may attend to its own prompt, not the padding before it, and to its own tokens
        self._bias = torch.full((len(rests), 1, 1, columns), self._low, dtype=self._dtype, device=self._device)
        for row, rest in enumerate(rests):
            self._bias[row, ..., :copied] = 0
            self._bias[row, ..., copied + width - len(rest) : copied + width] = 0
        self.last_BH = torch.cat(
            [self._read(rests, rows, width, shared, copied) for rows in _chunks(len(rests), width)]
        )  # fmt: skip
        self._cache.advance(width)
        self._position_B = torch.tensor([len(prompt) for prompt in different], device=self._device)
        if len(different) < len(prompts):
            self.select(row_B)

    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of each completion; return the new hidden states, (B, H)."""
        if self._cache.filled == self._cache.columns:
            more = min(self._room, GROWTH)
            self._cache.grow(more)
            self._bias = constant_pad_nd(self._bias, (0, more), self._low)
            self._room -= more
        self._bias[..., self._cache.filled] = 0
        position_B1 = self._position_B[:, None]
        self.last_BH = self._decoder.forward(token_B[:, None], position_B1, self._bias, self._adapter, self._cache)
        self._position_B = self._position_B + 1
        return self.last_BH

    def select(self, row_B: Tensor) -> None:
        """Continue with these completions only."""
        self._cache.select(row_B)
        self._bias, self._position_B, self.last_BH = (
            each.index_select(0, row_B) for each in (self._bias, self._position_B, self.last_BH)
        )

    def _empty_cache(self, rows: int, columns: int) -> Cache:
        decoder = self._decoder
        shape = (rows, decoder.key_value_heads, columns, decoder.channels)
        return Cache(len(decoder.layers), shape, dtype=self._dtype, device=self._device)

    def _read_shared(self, tokens: Sequence[int]) -> Cache:
        cache = self._empty_cache(1, len(tokens))
        position_1T = torch.arange(len(tokens), device=self._device)[None]
        bias = torch.full((1, 1, len(tokens), len(tokens)), self._low, dtype=self._dtype, device=self._device).triu(1)
        self._decoder.forward(torch.tensor([tokens], device=self._device), position_1T, bias, self._adapter, cache)
        return cache

    def _read(self, rests: Sequence[Sequence[int]], rows: slice, width: int, shared: int, copied: int) -> Tensor:
        """Read some prompts behind the shared prefix, padded on the left; return the last hidden states, (rows, H)."""
        part = rests[rows]
        token_BT = padded(part, self._pad, left=True, width=width).to(self._device)
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
        last_B = layout.index_of(row_B, torch.full_like(row_B, width - 1))
        cache = self._cache.view(rows)
        return self._decoder.forward(token_BT, position_BT, bias, self._adapter, cache, layout=layout, select=last_B)


def _chunks(rows: int, width: int) -> Iterator[slice]:
    size = max(1, READ_AT_ONCE // width)
    for start in range(0, rows, size):
        yield slice(start, start + size)
