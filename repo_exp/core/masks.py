"""Means over the tokens that count.   B responses, T tokens; a mask is True where a token counts."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.choices import Aggregation


def same_shape(what: str, *tensors: Tensor) -> None:
    """Refuse tensors of different shapes: broadcasting would hide the mistake.

    Raises:
        ValueError: they differ; names ``what``.
    """
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(set(shapes)) > 1:
        raise ValueError(f"{what} needs equal shapes, got {shapes}")


def masked_sum(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the sum of ``x_BT`` where the mask is True. What lies outside is never read, NaN included."""
    same_shape("masked_sum", x_BT, mask_BT)
    return torch.where(mask_BT, x_BT, torch.zeros_like(x_BT)).sum()


def response_sum(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the sum over the tokens of each response: (B,). What lies outside is never read, NaN included."""
    same_shape("response_sum", x_BT, mask_BT)
    return torch.where(mask_BT, x_BT, torch.zeros_like(x_BT)).sum(1)


def masked_mean(x_BT: Tensor, mask_BT: Tensor, *, count: Tensor | float | None = None) -> Tensor:
    """Return sum(x where mask) / count.

    ``count`` is the number of tokens of the whole batch (default: of this mask). Handing it in lets a
    batch be cut into microbatches whose losses add up to the loss of the whole.
    """
    return masked_sum(x_BT, mask_BT) / (mask_BT.sum().clamp(min=1) if count is None else count)


def weighted_sum(x_BT: Tensor, weight_BT: Tensor) -> Tensor:
    """Return sum(weight x). What has no weight is never read, NaN included."""
    same_shape("weighted_sum", x_BT, weight_BT)
    return torch.where(weight_BT != 0, x_BT * weight_BT, torch.zeros_like(x_BT)).sum()


def aggregation_weights(mask_BT: Tensor, aggregation: Aggregation, *, longest: int) -> Tensor:
    """Return what each token counts in the loss of an optimiser step: (B, T), 0 outside the mask.

        token_mean      1 / tokens of the step                     long responses count more (BNPO, DAPO)
        sequence_mean   1 / (responses * tokens of the response)   every response counts alike (GRPO as published)
        sequence_sum    1 / responses                              a response is one action (RLOO)
        constant        1 / (responses * longest)                  the same, in the units of a token (Dr. GRPO)

    Args:
        mask_BT: of the whole step, not of a microbatch.
        longest: tokens that a response may have.

    A response without a token in the mask does not count as a response.

    Raises:
        ValueError: an unknown aggregation.
    """
    responses = max(int(mask_BT.any(1).sum()), 1)
    if aggregation == "token_mean":
        return mask_BT / mask_BT.sum().clamp(min=1)
    if aggregation == "sequence_mean":
        return mask_BT / (responses * mask_BT.sum(1, keepdim=True).clamp(min=1))
    if aggregation == "sequence_sum":
        return mask_BT / float(responses)
    if aggregation == "constant":
        return mask_BT / float(responses * longest)
    raise ValueError(f"the aggregation is token_mean, sequence_mean, sequence_sum or constant, got {aggregation!r}")


def standardize(x_BT: Tensor, mask_BT: Tensor, *, keep_mean: bool = False, eps: float = 1e-8) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) over the masked tokens, 0 outside; var is unbiased.

    With ``keep_mean`` the mean is added again, so that only the standard deviation becomes 1. A single token
    becomes 0, or the mean.
    """
    same_shape("standardize", x_BT, mask_BT)
    count = mask_BT.sum()
    mean = masked_mean(x_BT, mask_BT)
    centred_BT = torch.where(mask_BT, x_BT - mean, torch.zeros_like(x_BT))
    variance = centred_BT.square().sum() / (count - 1).clamp(min=1)
    standard_BT = centred_BT * torch.rsqrt(variance + eps)
    return standard_BT + torch.where(mask_BT, mean, torch.zeros_like(mean)) if keep_mean else standard_BT
