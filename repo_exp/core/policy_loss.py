"""Policy losses per token.   B replies, T tokens.

Losses stay per token: the learner sums them over microbatches and divides by the tokens of the batch.
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


def clipped_surrogate(ratio_BT: Tensor, advantage_BT: Tensor, *, low: float, high: float) -> Tensor:
    """Return PPO's loss of each token: max(-A ratio, -A clip(ratio, 1 - low, 1 + high)), Schulman et al., 2017.

    The gradient is exactly 0 where the ratio has left the clip range on the side that the advantage favours.
    """
    same_shape("clipped_surrogate", ratio_BT, advantage_BT)
    return torch.maximum(-advantage_BT * ratio_BT, -advantage_BT * ratio_BT.clamp(1 - low, 1 + high))


def is_clipped(ratio_BT: Tensor, advantage_BT: Tensor, *, low: float, high: float) -> Tensor:
    """Return where the clip decides the loss (True) and the token gives no gradient."""
    same_shape("is_clipped", ratio_BT, advantage_BT)
    return -advantage_BT * ratio_BT.clamp(1 - low, 1 + high) > -advantage_BT * ratio_BT
