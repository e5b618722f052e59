"""SPPO (2024, arXiv 2405.00675): the best and the worst responses are regressed on their win rates.   B responses."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.choices import SelfPlayTarget
from repo_exp.core.groups import peers
from repo_exp.core.masks import same_shape


def chances(total_B: Tensor, peer_BB: Tensor) -> Tensor:
    """Return P[i, j] = sigmoid(R_i - R_j), by Bradley-Terry: (B, B), 1/2 with oneself, NaN where j is no peer of i."""
    return (total_B[:, None] - total_B[None]).sigmoid().masked_fill(~peer_BB, torch.nan)


def win_rate(total_B: Tensor, group_B: Tensor) -> Tensor:
    """Return how often each response beats one of its group, itself included (with 1/2): (B,), NaN without a total."""
    same_shape("win_rate", total_B, group_B)
    return chances(total_B, peers(group_B, ~total_B.isnan())).nanmean(1)


def best_and_worst(total_B: Tensor, group_B: Tensor) -> Tensor:
    """Return 1 at the highest total of each group, -1 at the lowest, 0 elsewhere: (B,); of equal ones the first.

    A group without a loser has no winner: one whose totals are all alike, or that has one total only.
    """
    same_shape("best_and_worst", total_B, group_B)
    peer_BB = peers(group_B, ~total_B.isnan())
    higher_B, lower_B = (
        (peer_BB & beyond_BB).any(1)
        for beyond_BB in (total_B[None] > total_B[:, None], total_B[None] < total_B[:, None])
    )
    first_B = ~(peer_BB & (total_B[None] == total_B[:, None])).tril(-1).any(1)
    return ((first_B & lower_B & ~higher_B).int() - (first_B & higher_B & ~lower_B).int()).to(total_B)


def self_play_target(total_B: Tensor, group_B: Tensor, *, beta: float, target: SelfPlayTarget) -> tuple[Tensor, Tensor]:
    """Return what log pi - log pi_t of each response should become, and which responses are trained on: (B,) each.

        (P - 1/2) / beta     for the best and the worst of each group, with P by ``target``:
        win_rate   how often it beats a response of its group, itself included
        single     the chance that the best beats the worst, and the other way round
        hard       1 and 0

    Targets are large, hundreds at the published beta of 0.001 (at most 500, with hard), and never reached; that is as
    published. The others get 0.

    Raises:
        ValueError: an unknown target.
    """
    side_B = best_and_worst(total_B, group_B)
    if target == "win_rate":
        chance_B = win_rate(total_B, group_B)
    elif target == "single":  # the worst is the one that the best beats with the highest probability
        chance_BB = chances(total_B, peers(group_B, ~total_B.isnan())).nan_to_num(0.5)
        chance_B = torch.where(side_B > 0, chance_BB.amax(1), chance_BB.amin(1))
    elif target == "hard":
        chance_B = (side_B + 1) / 2
    else:
        raise ValueError(f"the target is win_rate, single or hard, got {target!r}")
    return torch.where(side_B != 0, (chance_B - 0.5) / beta, torch.zeros_like(total_B)), side_B != 0


def self_play_loss(moved_B: Tensor, target_B: Tensor, *, target: SelfPlayTarget) -> Tensor:
    """Return each response's part of its pair's loss: (log pi - log pi_t - target)^2, halved unless the target is hard.

    Args:
        moved_B: log pi - log pi_t of each response, summed over its tokens, in nats.
    """
    same_shape("self_play_loss", moved_B, target_B)
    return (moved_B - target_B).square() * (1.0 if target == "hard" else 0.5)
