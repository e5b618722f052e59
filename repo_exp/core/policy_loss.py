"""Policy losses per token.   B responses, T tokens.

Losses are per token: an algorithm sums them with the token weights of its minibatch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.masks import same_shape

EXPONENT_BOUND = 20.0  # exp(20) is large enough to be clipped and small enough to be finite


def probability_ratio(logp_BT: Tensor, old_logp_BT: Tensor) -> Tensor:
    """Return pi(token) / pi_old(token), the exponent held inside +-20."""
    same_shape("probability_ratio", logp_BT, old_logp_BT)
    return (logp_BT - old_logp_BT).clamp(-EXPONENT_BOUND, EXPONENT_BOUND).exp()


def sequence_ratio(logp_BT: Tensor, old_logp_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return GSPO's ratio of a whole response, the same at each of its tokens (Zheng et al., 2025): (B, T).

    s_i = exp(mean over the response's tokens of log pi - log pi_old): the geometric mean of the token ratios.
    """
    same_shape("sequence_ratio", logp_BT, old_logp_BT, mask_BT)
    difference_BT = torch.where(mask_BT, logp_BT - old_logp_BT, torch.zeros_like(logp_BT))
    mean_B1 = difference_BT.sum(1, keepdim=True) / mask_BT.sum(1, keepdim=True).clamp(min=1)
    return mean_B1.clamp(-EXPONENT_BOUND, EXPONENT_BOUND).exp().expand_as(logp_BT)


def truncated_importance(logp_BT: Tensor, ratio_BT: Tensor, advantage_BT: Tensor, *, high: float) -> Tensor:
    """Return CISPO's loss of each token: -sg(min(ratio, high)) A log pi, with no gradient through the weight."""
    same_shape("truncated_importance", logp_BT, ratio_BT, advantage_BT)
    return -ratio_BT.detach().clamp(max=high) * advantage_BT * logp_BT


def clipped_surrogate(
    ratio_BT: Tensor, advantage_BT: Tensor, *, low: float, high: float, dual: float | None = None
) -> Tensor:
    """Return PPO's loss of each token: max(-A ratio, -A clip(ratio, 1 - low, 1 + high)), Schulman et al., 2017.

    The gradient is exactly 0 where the ratio has left the clip range on the side that the advantage favours.
    With ``dual`` the loss is at most -A dual where A < 0, so that a token whose ratio has exploded gives none
    either (dual clip, Ye et al., 2020; 3 there).
    """
    same_shape("clipped_surrogate", ratio_BT, advantage_BT)
    loss_BT = torch.maximum(-advantage_BT * ratio_BT, -advantage_BT * ratio_BT.clamp(1 - low, 1 + high))
    if dual is None:
        return loss_BT
    return torch.where(advantage_BT < 0, torch.minimum(loss_BT, -advantage_BT * dual), loss_BT)


def is_clipped(ratio_BT: Tensor, advantage_BT: Tensor, *, low: float, high: float, dual: float | None = None) -> Tensor:
    """Return where a clip decides the loss (True) and the token gives no gradient."""
    same_shape("is_clipped", ratio_BT, advantage_BT)
    clipped_BT = -advantage_BT * ratio_BT.clamp(1 - low, 1 + high) > -advantage_BT * ratio_BT
    return clipped_BT if dual is None else clipped_BT | ((advantage_BT < 0) & (ratio_BT > dual))
