"""Advantages from ranks, whatever the differences between the totals.   B responses."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.choices import Ties
from repo_exp.core.groups import peers
from repo_exp.core.masks import same_shape


def ordinal_advantage(total_B: Tensor, group_B: Tensor, *, ties: Ties) -> Tensor:
    """Return 2 - 4 (rank - 1) / (G - 1), GOPO (2026, arXiv 2602.03876): (B,), from 2 for the best to -2 for the worst.

    Rank 1 is the highest of the G totals of a group, so nothing changes where totals are stretched or moved. The
    advantages of a group sum to 0. NaN totals have no rank, are not counted in G and get 0; so does a response that
    is the only one of its group with a total.

    Args:
        ties: averaged - equal totals share the mean of their ranks, so a group of equal totals gets 0;
            published - the response that was drawn first ranks higher, as in the released code, equal or not.

    Raises:
        ValueError: unknown ties.
    """
    same_shape("ordinal_advantage", total_B, group_B)
    peer_BB = peers(group_B, ~total_B.isnan())
    higher_B = (peer_BB & (total_B[None] > total_B[:, None])).sum(1)
    tied_BB = peer_BB & (total_B[None] == total_B[:, None])  # each with itself too
    if ties == "averaged":
        before_B = higher_B + (tied_BB.sum(1) - 1) / 2
    elif ties == "published":
        before_B = higher_B + tied_BB.tril(-1).sum(1)
    else:
        raise ValueError(f"ties are averaged or published, got {ties!r}")
    others_B = peer_BB.sum(1) - 1
    ranked_B = ~total_B.isnan() & (others_B > 0)
    return torch.where(ranked_B, 2 - 4 * before_B.to(total_B) / others_B.clamp(min=1), torch.zeros_like(total_B))
