"""Statistics over the responses to the same prompt.   B responses."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.masks import same_shape


def peers(group_B: Tensor, there_B: Tensor) -> Tensor:
    """Return which responses each is compared with: (B, B), True at [i, j] where j shares the prompt of i and counts.

    Args:
        group_B: equal numbers for responses to the same prompt.
        there_B: True for responses that take part: those with a total.
    """
    same_shape("peers", group_B, there_B)
    return (group_B[:, None] == group_B[None]) & there_B[None]


def mean_of_peers(x_B: Tensor, peer_BB: Tensor) -> Tensor:
    """Return the mean of x over the peers of each response: (B,), NaN where there are none.

    It is taken from the lowest up, so that the mean of equal numbers is that number, whatever rounding does to sums.
    """
    lowest_B1 = x_B.expand_as(peer_BB).masked_fill(~peer_BB, torch.inf).amin(1, keepdim=True)
    above_BB = torch.where(peer_BB, x_B[None] - lowest_B1, torch.zeros_like(lowest_B1))
    return lowest_B1.squeeze(1) + above_BB.sum(1) / peer_BB.sum(1)
