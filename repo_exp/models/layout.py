"""Rows of tokens as one flat list of tokens, without padding and with the shared prefix of the rows only once.

Products and norms work on tokens, so they get the flat list; attention works on rows, so queries, keys and values are
scattered into rows, and its result is gathered from them.

Legend: B rows, T columns, S columns that all rows share, M tokens that are computed, N sequences, R tokens of each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from repo_exp.models.kernels import apply

WORTH_GATHERING = 0.97  # share of real tokens above which computing the padding too costs less than moving tokens


class Scatter(Function):
    """y[index] = x and 0 elsewhere; the backward pass gathers. Every index stands once, so nothing is added up."""

    @staticmethod
    def forward(ctx: Any, x_M: Tensor, index_M: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(index_M)
        return x_M.new_zeros(size, *x_M.shape[1:]).index_copy_(0, index_M, x_M)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (index_M,) = ctx.saved_tensors
        return dy.index_select(0, index_M), None, None


class Gather(Function):
    """y = x[index]; the backward pass scatters. Every index stands once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index_M: Tensor) -> Tensor:
        ctx.save_for_backward(index_M)
        ctx.size = len(x)
        return x.index_select(0, index_M)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_M: Tensor) -> tuple[Tensor, None]:
        (index_M,) = ctx.saved_tensors
        return dy_M.new_zeros(ctx.size, *dy_M.shape[1:]).index_copy_(0, index_M, dy_M), None


class Layout:
    """Where tokens stand, in rows and in the flat list.

    Args:
        rows, columns: B and T.
        shared: S, the columns at the left that are the same in all rows.
        real_BT: True where a token is no padding; None where all are tokens.
    """

    def __init__(self, rows: int, columns: int, *, shared: int = 0, real_BT: Tensor | None = None) -> None:
        self.rows, self.columns, self.shared = rows, columns, shared
        self.own = columns - shared
        self.index_M: Tensor | None = None
        if real_BT is not None:
            index_M = real_BT[:, shared:].flatten().nonzero().squeeze(1)
            if len(index_M) < WORTH_GATHERING * rows * self.own:
                self.index_M = index_M

    def flatten(self, whole_BT: Tensor) -> Tensor:
        """Return the tokens of rows as a flat list: (M,), the shared columns first and once."""
        own = whole_BT[:, self.shared :].flatten()
        own = own if self.index_M is None else own[self.index_M]
        return torch.cat([whole_BT[0, : self.shared], own]) if self.shared else own

    def to_rows(self, x: Tensor) -> Tensor:
        """Return tokens behind the shared ones, (M - S, ...), in their rows: (B, T - S, ...), 0 for padding."""
        if self.index_M is not None:
            x = apply(Scatter, x, self.index_M, self.rows * self.own)
        return x.view(self.rows, self.own, *x.shape[1:])

    def from_rows(self, x: Tensor) -> Tensor:
        """Return (B (T - S), ...) of rows as the tokens behind the shared ones: (M - S, ...)."""
        return x if self.index_M is None else apply(Gather, x, self.index_M)

    def index_of(self, row: Tensor, column: Tensor) -> Tensor:
        """Return the index in the flat list of the token in this row and column."""
        own = row * self.own + column - self.shared
        if self.index_M is not None:
            own = torch.searchsorted(self.index_M, own.clamp(min=0))
        return torch.where(column < self.shared, column, own + self.shared)

    def unflatten(self, x_MH: Tensor) -> Tensor:
        """Return all tokens in their rows, the shared ones in each: (B, T, H)."""
        shared, own = x_MH.split((self.shared, len(x_MH) - self.shared))
        own_BTH = self.to_rows(own)
        return torch.cat([shared.expand(self.rows, -1, -1), own_BTH], 1) if self.shared else own_BTH
