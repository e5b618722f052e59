"""Means over the tokens that count.   B replies, T tokens; a mask is True where a token counts."""

from __future__ import annotations

import torch
from torch import Tensor


def same_shape(what: str, *tensors: Tensor) -> None:
    """Refuse tensors of different shapes: broadcasting would hide the mistake."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(set(shapes)) > 1:
        raise ValueError(f"{what} needs equal shapes, got {shapes}")


def masked_sum(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the sum of ``x_BT`` where the mask is True. What lies outside is never read, NaN included."""
    same_shape("masked_sum", x_BT, mask_BT)
    return torch.where(mask_BT, x_BT, torch.zeros_like(x_BT)).sum()


def masked_mean(x_BT: Tensor, mask_BT: Tensor, *, count: Tensor | float | None = None) -> Tensor:
    """Return sum(x where mask) / count.

    ``count`` is the number of tokens of the whole batch (default: of this mask). Handing it in lets a
    batch be cut into microbatches whose losses add up to the loss of the whole.
    """
    return masked_sum(x_BT, mask_BT) / (mask_BT.sum().clamp(min=1) if count is None else count)


def standardize(x_BT: Tensor, mask_BT: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) over the masked tokens, 0 outside; var is unbiased.

    A single token, which has no spread, becomes 0.
    """
    same_shape("standardize", x_BT, mask_BT)
    count = mask_BT.sum()
    centred_BT = torch.where(mask_BT, x_BT - masked_mean(x_BT, mask_BT), torch.zeros_like(x_BT))
    variance = centred_BT.square().sum() / (count - 1).clamp(min=1)
    return centred_BT * torch.rsqrt(variance + eps)
