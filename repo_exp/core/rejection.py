"""Optimal budgeted rejection sampling of Jackpot (2026, arXiv 2602.06107): corrects tokens of one policy to another.

p is the policy that is trained, q the one that sampled, lam > 0 the budget. A token drawn from q is kept with

    a(x)  = min(1, p(x) / (lam q(x)))                chance to be kept
    Z     = sum over x of min(q(x), p(x) / lam)      how many are kept on average
    q~(x) = min(q(x), p(x) / lam) / Z                what the kept ones are distributed like

No other rule that keeps a share Z comes nearer to p in KL. A larger lam keeps fewer tokens and comes nearer: from
lam = max p / q on q~ is p itself, and up to lam = min p / q nothing is rejected.

Legend: M tokens, V vocabulary. Probabilities are handed in as their logarithms, in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.masks import same_shape


def acceptance(logp: Tensor, logq: Tensor, *, lam: float) -> Tensor:
    """Return a = min(1, p / (lam q)), the chance that a token drawn from q is kept: in [0, 1], of any shape."""
    same_shape("acceptance", logp, logq)
    return (logp - logq).exp().div(lam).clamp(max=1.0)


def overlap(logp_MV: Tensor, logq_MV: Tensor, *, lam: float, top: int | None = None) -> Tensor:
    """Return Z = sum over x of min(q(x), p(x) / lam): (M,), in (0, 1].

    Args:
        top: sum over the likeliest ``top`` tokens of p and of q alone, which is less than Z; None sums over all.
    """
    same_shape("overlap", logp_MV, logq_MV)
    shared_MV = torch.minimum(logq_MV.exp(), logp_MV.exp() / lam)
    if top is None or top >= shared_MV.shape[-1]:
        return shared_MV.sum(-1)
    likely_MV = torch.zeros_like(shared_MV, dtype=torch.bool)
    for log_MV in (logp_MV, logq_MV):
        likely_MV.scatter_(-1, log_MV.topk(top).indices, True)
    return (shared_MV * likely_MV).sum(-1)


def kept_weight(logp: Tensor, logq: Tensor, z: Tensor, *, lam: float) -> Tensor:
    """Return p / q~ = Z max(lam, p / q) of kept tokens: their mean is 1 where tokens come from q~."""
    same_shape("kept_weight", logp, logq, z)
    return z * (logp - logq).exp().clamp(min=lam)


def overlap_calibration(kept_share: Tensor, mean_z: Tensor) -> Tensor:
    """Return kappa = share of the batch that was kept / mean of Z: what a sum over the likeliest tokens lacks."""
    return kept_share / mean_z


def rejection_factor(weight: Tensor, reference_ratio: Tensor, *, c1: float, c2: float) -> Tensor:
    """Return min(p_new / q~, c1) min(p_ref / p_new, c2): what a kept token counts in the loss.

    Args:
        weight: p_new / q~, see :func:`kept_weight`.
        reference_ratio: p_ref / p_new, the policy before the update over the policy now.
    """
    same_shape("rejection_factor", weight, reference_ratio)
    return weight.clamp(max=c1) * reference_ratio.clamp(max=c2)
