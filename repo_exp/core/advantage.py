"""Advantages: how much better each token did than expected.   B replies, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.masks import same_shape


def reward_at_last_token(reward_B: Tensor, mask_BT: Tensor) -> Tensor:
    """Place each reply's reward at its last token, 0 elsewhere: (B, T) in reward units.

    A reply without a token gets no reward anywhere.
    """
    length_B = mask_BT.sum(1)
    last_BT = torch.arange(mask_BT.shape[1], device=mask_BT.device) == (length_B - 1)[:, None]
    return torch.where(last_BT, reward_B[:, None], torch.zeros((), dtype=reward_B.dtype, device=reward_B.device))


def gae(reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, *, gamma: float, gae_lambda: float) -> Tensor:
    """Return generalised advantage estimates (Schulman et al., 2016), one finished reply a row.

        delta_t = r_t + gamma * V_{t+1} - V_t
        A_t     = delta_t + gamma * gae_lambda * A_{t+1}

    The reply is one run of True from column 0; it ends its episode, so V and A behind it are 0, and
    what lies there is never read (it may be NaN). Returns are ``A + V``, taken before A is standardised.

    Returns:
        (B, T) advantages, 0 outside the reply. Gradients flow through ``value_BT``: hand in detached values.
    """
    same_shape("gae", reward_BT, value_BT, mask_BT)
    advantage_BT = torch.zeros_like(value_BT)
    zero_B = next_value_B = next_advantage_B = torch.zeros_like(value_BT[:, 0])
    for t in reversed(range(value_BT.shape[1])):
        delta_B = reward_BT[:, t] + gamma * next_value_B - value_BT[:, t]
        # where, not multiplication: padding may hold NaN, and 0 * NaN is NaN
        next_advantage_B = torch.where(mask_BT[:, t], delta_B + gamma * gae_lambda * next_advantage_B, zero_B)
        next_value_B = torch.where(mask_BT[:, t], value_BT[:, t], zero_B)
        advantage_BT[:, t] = next_advantage_B
    return advantage_BT
