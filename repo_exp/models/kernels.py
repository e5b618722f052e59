"""The differentiable operations of a decoder layer, each with its backward pass written out.

Autograd would give the same gradients from plain operations. Written out, an operation keeps only what its
backward pass reads, goes over memory fewer times, and multiplies with weights packed for the processor.
Frozen weights get no gradient; only inputs and low-rank factors do.

Legend: M tokens, H inputs, N outputs, K ranks (of all adapters that read one input), B rows, T columns of a
row, S keys of a row, P key-value heads, G query heads that share one, D channels of a head. ``ctx`` is autograd's
context, which takes any attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, rms_norm, silu

from repo_exp.models.packed_weights import FrozenLinear


class _NoContext:
    """Stands in for autograd's context where no gradient will be asked for: it keeps nothing."""

    needs_input_grad = (False,) * 8

    def save_for_backward(self, *_: Tensor | None) -> None:
        """Keep nothing."""

    def mark_non_differentiable(self, *_: Tensor) -> None:
        """Note nothing."""


def apply(operation: type[Function], *args: object) -> Tensor:
    """Return the result of an operation; without gradients autograd's bookkeeping is left out.

    It costs some 15 microseconds a call, which is as much as the work itself when one token is read.
    """
    return operation.apply(*args) if torch.is_grad_enabled() else operation.forward(_NoContext(), *args)


class AdaptedLinear(Function):
    """y = x Wᵀ + b + (x Aᵀ) Bᵀ with W and b frozen; see :class:`adapter_weights.Factors`.

    Backward, of dy: dx = dy W + (dy B) A;  dA = (dy B)ᵀ x;  dB = dyᵀ (x Aᵀ).
    """

    FEW = 256  # tokens, below which one product with the zeros is cheaper than one for each block

    @staticmethod
    def forward(
        ctx: Any, x_MH: Tensor, frozen: FrozenLinear, a_KH: Tensor, b_NK: Tensor, blocks: Sequence[tuple[slice, slice]]
    ) -> Tensor:
        y_MN, low_MK = frozen(x_MH), linear(x_MH, a_KH)
        if len(x_MH) < AdaptedLinear.FEW:
            y_MN.addmm_(low_MK, b_NK.T)
        else:
            for outputs, ranks in blocks:
                y_MN[:, outputs].addmm_(low_MK[:, ranks], b_NK[outputs, ranks].T)
        ctx.save_for_backward(x_MH, low_MK, a_KH, b_NK)
        ctx.frozen, ctx.blocks = frozen, blocks
        return y_MN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_MN: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x_MH, low_MK, a_KH, b_NK = ctx.saved_tensors
        dlow_MK, db_KN = torch.empty_like(low_MK), torch.zeros_like(b_NK.T)
        for outputs, ranks in ctx.blocks:
            dy_block = dy_MN[:, outputs]
            dlow_MK[:, ranks] = dy_block @ b_NK[outputs, ranks]
            db_KN[ranks, outputs] = low_MK[:, ranks].T @ dy_block
        dx_MH = ctx.frozen.transposed(dy_MN).addmm_(dlow_MK, a_KH) if ctx.needs_input_grad[0] else None
        return dx_MH, None, dlow_MK.T @ x_MH, db_KN.T, None


class PlainLinear(Function):
    """y = x Wᵀ + b with W and b frozen; dx = dy W."""

    @staticmethod
    def forward(ctx: Any, x_MH: Tensor, frozen: FrozenLinear) -> Tensor:
        ctx.frozen = frozen
        return frozen(x_MH)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_MN: Tensor) -> tuple[Tensor, None]:
        return ctx.frozen.transposed(dy_MN), None


class RMSNorm(Function):
    """y = w x / r,  r = sqrt(mean(x²) + eps) over the last dimension, in float32 inside (Zhang and Sennrich, 2019).

    Backward, with u = x / r and g = w dy:  dx = (g - u mean(g u)) / r. The weight w is frozen.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        if isinstance(ctx, _NoContext):
            return rms_norm(x, x.shape[-1:], weight, eps)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = (norm.square_() / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, inverse, weight)
        return (x * inverse).to(x.dtype).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        x, inverse, weight = ctx.saved_tensors
        unit, g = x * inverse, (dy * weight).float()
        mean = (g * unit).mean(-1, keepdim=True)
        return g.sub_(unit.mul_(mean)).mul_(inverse).to(x.dtype), None, None


class SwiGLU(Function):
    """y = silu(gate) up, where ``x`` holds gate and up side by side (Shazeer, 2020)."""

    @staticmethod
    def forward(ctx: Any, x_MN: Tensor) -> Tensor:
        ctx.save_for_backward(x_MN)
        gate, up = x_MN.chunk(2, -1)
        return silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x_MN,) = ctx.saved_tensors
        gate, up = x_MN.chunk(2, -1)
        dx_MN = torch.empty_like(x_MN)
        dgate, dup = dx_MN.chunk(2, -1)
        torch.mul(silu(gate), dy, out=dup)
        torch.ops.aten.silu_backward.grad_input(torch.mul(dy, up, out=dgate), gate, grad_input=dgate)
        return dx_MN


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return rotary embedding of (..., D): the two halves of each head turned by the angle of their position.

    ``cos`` and ``sin`` broadcast against (..., D / 2).
    """
    first, second = x.chunk(2, -1)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    y_first, y_second = y.chunk(2, -1)
    torch.mul(first, cos, out=y_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=y_second).addcmul_(first, sin)
    return y


class Rotary(Function):
    """:func:`rotated`; its backward pass turns the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return rotated(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return rotated(dy, cos, -sin), None, None


class Attention(Function):
    """softmax(q kᵀ / sqrt(D) + bias) v over grouped heads, the weights kept for the backward pass.

    Query heads that share a key head are rows of one product, so keys are never repeated. No query attends to later
    columns than its own, so a block of queries is multiplied with the keys up to its end only: about half of the
    square is never computed, nor kept.

    Backward, with p the weights: dv = pᵀ dy;  ds = p (dp - sum(dp p)), dp = dy vᵀ;  dq = ds k / sqrt(D);
    dk = dsᵀ q / sqrt(D). Blocks add up in float32.
    """

    BLOCK = 64  # queries of a block at most; smaller ones leave out more and multiply less well

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        """Return (B P, T G, D), the heads of a token side by side.

        Args:
            q: (B P, T G, D), of T queries.
            k, v: (B P, S, D), of S keys; the queries are the last T columns.
            bias: (B, 1, T, S), 0 where a query may attend and the lowest number elsewhere, later columns included.
        """
        weights = [
            attention_weights(q[:, rows], k[:, :end], bias[:, :, queries, :end], scale)
            for queries, rows, end in _blocks(q, bias)
        ]
        ctx.save_for_backward(q, k, v, bias, *weights)
        ctx.scale = scale
        parts = [torch.bmm(p, v[:, : p.shape[-1]]) for p in weights]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, bias, *weights = ctx.saved_tensors
        dq = torch.empty_like(q)
        exact = torch.promote_types(k.dtype, torch.float32)
        dk, dv = (torch.zeros(k.shape, dtype=exact, device=k.device) for _ in range(2))
        for p, (_, rows, end) in zip(weights, _blocks(q, bias), strict=True):
            dy_block, k_block, v_block = dy[:, rows], k[:, :end], v[:, :end]
            ds = torch._softmax_backward_data(torch.bmm(dy_block, v_block.transpose(1, 2)), p, -1, p.dtype)
            ds.mul_(ctx.scale)
            dq[:, rows] = torch.bmm(ds, k_block)
            dk[:, :end] += torch.bmm(ds.transpose(1, 2), q[:, rows])
            dv[:, :end] += torch.bmm(p.transpose(1, 2), dy_block)
        return dq, dk.to(k.dtype), dv.to(v.dtype), None, None


def _blocks(q: Tensor, bias: Tensor) -> list[tuple[slice, slice, int]]:
    """Return for each block its queries, their rows in q, and how many keys they may attend to."""
    queries, keys = bias.shape[-2:]
    heads, number = q.shape[1] // queries, -(-queries // Attention.BLOCK)
    edges = [queries * i // number for i in range(number + 1)]
    return [(slice(a, b), slice(a * heads, b * heads), keys - queries + b) for a, b in pairwise(edges)]


def attention_weights(q: Tensor, k: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Return softmax(scale q kᵀ + bias) in float32 inside: (B P, T G, S); see :class:`Attention`."""
    rows, _, queries, keys = bias.shape
    scores = torch.bmm(q * scale, k.transpose(1, 2))
    scores.view(rows, -1, queries, q.shape[1] // queries, keys).add_(bias[..., None, :])
    if queries == 1:  # one pass less; the sum is in float32 inside all the same
        return scores.softmax(-1)
    return scores.softmax(-1, dtype=torch.float32).to(q.dtype)


def shared_prefix_attention(
    q: Tensor, k_shared: Tensor, v_shared: Tensor, k_own: Tensor, v_own: Tensor, bias: Tensor, scale: float
) -> Tensor:
    """Return attention of one query a row to keys that all rows share and to keys of its own: (B, Q D).

    The shared keys are read once for all rows, as one product a head. No gradients.

    Args:
        q: (B, Q, D) with Q = P G.
        k_shared, v_shared: (P, S, D) of the prefix that every row has, and may attend to.
        k_own, v_own: (B, P, R, D), a row's own.
        bias: (B, 1, 1, R) on its own; see :class:`Attention`.
    """
    rows, heads, own, channels = k_own.shape
    q = q.reshape(rows, heads, -1, channels) * scale
    group = q.shape[2]
    # scores over the shared keys: all rows of a head are one product
    shared_PMS = torch.bmm(q.transpose(0, 1).reshape(heads, rows * group, channels), k_shared.transpose(1, 2))
    own_BGR = torch.bmm(q.flatten(0, 1), k_own.flatten(0, 1).transpose(1, 2)).view(rows, heads, group, own).add_(bias)
    shared = shared_PMS.view(heads, rows, group, -1).transpose(0, 1)
    p_shared, p_own = torch.cat([shared, own_BGR], -1).softmax(-1).split((shared.shape[-1], own), -1)
    y = torch.bmm(p_own.reshape(rows * heads, group, own), v_own.flatten(0, 1)).view(rows, heads, group, channels)
    p_shared = p_shared.transpose(0, 1).reshape(heads, rows * group, -1)
    y += torch.bmm(p_shared, v_shared).view(heads, rows, group, channels).transpose(0, 1)
    return y.view(rows, -1)
