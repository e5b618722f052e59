"""Advantages: how much better each token did than expected.   B responses, T tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from repo_exp.core.choices import Baseline, Otherwise, Scale
from repo_exp.core.masks import same_shape


def reward_at_last_token(reward_B: Tensor, mask_BT: Tensor) -> Tensor:
    """Place each response's reward at its last token, 0 elsewhere: (B, T) in reward units.

    A response without a token gets no reward anywhere.
    """
    length_B = mask_BT.sum(1)
    last_BT = torch.arange(mask_BT.shape[1], device=mask_BT.device) == (length_B - 1)[:, None]
    return torch.where(last_BT, reward_B[:, None], torch.zeros((), dtype=reward_B.dtype, device=reward_B.device))


def gae(reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, *, gamma: float, gae_lambda: float) -> Tensor:
    """Return generalised advantage estimates (Schulman et al., 2016), one finished response a row.

        delta_t = r_t + gamma * V_{t+1} - V_t
        A_t     = delta_t + gamma * gae_lambda * A_{t+1}

    The response is one run of True from column 0; it ends its episode, so V and A behind it are 0, and
    what lies there is never read (it may be NaN). Returns are ``A + V``, taken before A is standardised.

    Returns:
        (B, T) advantages, 0 outside the response. Gradients flow through ``value_BT``: hand in detached values.
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


def in_unequal_groups(x_B: Tensor, group_B: Tensor) -> Tensor:
    """Return which responses have a number, in a group whose numbers are not all alike: (B,) of True and False.

    NaN is no number. Compared are the numbers themselves: a mean of equal ones may be off by rounding.
    """
    same_shape("in_unequal_groups", x_B, group_B)
    there_B = ~x_B.isnan()
    _, place_B = torch.unique(group_B, return_inverse=True)
    groups = int(place_B.max()) + 1 if len(place_B) else 0
    highest_G, lowest_G = (
        x_B.new_full((groups,), worst).scatter_reduce_(0, place_B[there_B], x_B[there_B], how)
        for worst, how in ((-torch.inf, "amax"), (torch.inf, "amin"))
    )
    return there_B & (highest_G > lowest_G)[place_B]


def group_advantage(
    total_B: Tensor, group_B: Tensor, *, scale: Scale, baseline: Baseline = "group_mean", eps: float = 1e-4
) -> Tensor:
    """Return how much better each response is than the others to its prompt: (B,), in units of ``scale``.

        baseline  group_mean     R - mean of the group                   GRPO, Shao et al., 2024
                  leave_one_out  R - mean of the others                  RLOO, Kool et al., 2019; Ahmadian et al., 2024
        scale     group          divided by (std of the group + eps)     GRPO
                  batch          divided by (std of the batch + eps)
                  none           not divided                             Dr. GRPO, Liu et al., 2025; RLOO

    Standard deviations are unbiased. NaN totals take no part and get 0; so does a response that is the only one of
    its group with a total, and every response of a group whose totals are all alike.

    Args:
        group_B: equal numbers for responses to the same prompt.

    Raises:
        ValueError: an unknown baseline or scale.
    """
    same_shape("group_advantage", total_B, group_B)
    there_B = ~total_B.isnan()
    _, place_B = torch.unique(group_B, return_inverse=True)
    groups = int(place_B.max()) + 1 if len(place_B) else 0

    def summed(x_B: Tensor) -> Tensor:
        return x_B.new_zeros(groups).index_add_(0, place_B, torch.where(there_B, x_B, torch.zeros_like(x_B)))

    count_G = summed(torch.ones_like(total_B))
    centred_B = total_B - (summed(total_B) / count_G.clamp(min=1))[place_B]
    if scale == "group":
        std_B = (summed(centred_B.square()) / (count_G - 1).clamp(min=1)).sqrt()[place_B] + eps
    elif scale == "batch":
        std_B = (total_B[there_B].std() if there_B.sum() > 1 else total_B.new_zeros(())) + eps
    elif scale == "none":
        std_B = torch.ones(())
    else:
        raise ValueError(f"the scale is group, batch or none, got {scale!r}")
    if baseline == "leave_one_out":  # R - mean of the others = (R - mean of all) times n / (n - 1)
        centred_B = centred_B * (count_G / (count_G - 1).clamp(min=1))[place_B]
    elif baseline != "group_mean":
        raise ValueError(f"the baseline is group_mean or leave_one_out, got {baseline!r}")
    credited_B = in_unequal_groups(total_B, group_B)
    return torch.where(credited_B, centred_B / std_B, torch.zeros_like(total_B))


def decoupled_advantage(
    sources: Mapping[str, Tensor], group_B: Tensor, *, weights: Mapping[str, float], eps: float = 1e-4
) -> Tensor:
    """Return GDPO's advantage: every source is normalised in its group before they are summed (B,), 2601.05242.

        z_k   = (r_k - mean of the group) / (std of the group + eps)         for each source k
        A_sum = sum over k of w_k z_k
        A     = (A_sum - mean of the batch) / (std of the batch + eps)

    Responses that differ in what they are good at keep different advantages, which a sum of rewards would merge.
    Standard deviations are unbiased. A score that is NaN gives 0 in its source and counts in no statistic of it.

    Args:
        sources: scores by source, each (B,).
        weights: of the normalised scores; a source that is not named has 1.
    """
    parts = [
        weights.get(name, 1.0) * group_advantage(r_B, group_B, scale="group", eps=eps) for name, r_B in sources.items()
    ]
    sum_B = torch.stack(parts).sum(0)
    if len(sum_B) < 2 or sum_B.max() == sum_B.min():
        return torch.zeros_like(sum_B)
    return (sum_B - sum_B.mean()) / (sum_B.std() + eps)


def conditioned(
    sources: Mapping[str, Tensor], group_B: Tensor, *, on: str, threshold: float, otherwise: Otherwise
) -> dict[str, Tensor]:
    """Return sources of which all but one count only where that one is good enough, 2601.05242: each (B,).

        r_k = r_k if r_on >= threshold else floor        for every source k but ``on`` itself

    The floor is ``zero`` as published, for scores that are never below it; where scores have either sign a broken
    condition would pay, so ``lowest`` takes the lowest score of the source in the group. Weights alone set no priority
    where one source is easier to please than another. A missing score stays missing; where that of ``on`` is missing,
    it is unknown whether the condition is met, and the others are missing too (NaN).
    """
    key_B = sources[on]

    def met(r_B: Tensor) -> Tensor:
        floor_B = torch.zeros_like(r_B)
        if otherwise == "lowest":
            there_B = torch.where(r_B.isnan(), torch.full_like(r_B, torch.inf), r_B)
            none_G = there_B.new_full((int(group_B.max()) + 1,), torch.inf)
            floor_B = none_G.scatter_reduce(0, group_B, there_B, "amin")[group_B]
        conditioned_B = torch.where(key_B >= threshold, r_B, floor_B)
        return torch.where(key_B.isnan() | r_B.isnan(), torch.full_like(r_B, torch.nan), conditioned_B)

    return {name: r_B if name == on else met(r_B) for name, r_B in sources.items()}


def overlong_penalty(length_B: Tensor, *, longest: int, cache: int) -> Tensor:
    """Return the penalty of a response near the longest allowed length, DAPO (Yu et al., 2025): (B,).

        0                                      if length <= longest - cache
        (longest - cache - length) / cache     up to longest, falling to -1
        -1                                     beyond

    Args:
        length_B: tokens of each response.
        cache: tokens over which the penalty grows; at least 1.
    """
    return ((longest - cache - length_B) / cache).clamp(-1.0, 0.0)
