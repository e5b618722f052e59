"""P3O (2023, arXiv 2310.00212): two responses to a prompt, compared by their difference.   B responses, P pairs.

A reward model that is trained on comparisons is only defined up to a constant a prompt. It cancels in the difference
of two responses to one prompt, which is all that is read here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.choices import Clipping
from repo_exp.core.groups import peers
from repo_exp.core.masks import response_sum, same_shape
from repo_exp.core.policy_loss import clipped_surrogate, is_clipped, probability_ratio


def sequence_reward(
    total_B: Tensor, logp_BT: Tensor, reference_logp_BT: Tensor, mask_BT: Tensor, *, kl_coefficient: float
) -> Tensor:
    """Return R - kl_coefficient * (log pi(response) - log pi_ref(response)): (B,), in reward units.

    The log-probabilities are sums over the response, so long responses can earn or lose more.
    """
    same_shape("sequence_reward", logp_BT, reference_logp_BT, mask_BT)
    return total_B - kl_coefficient * response_sum(logp_BT - reference_logp_BT, mask_BT)


def pair_difference(reward_B: Tensor, group_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return by how much each response beats the other one of its pair, and which responses have a pair: (B,) each.

    Responses to a prompt that have a reward are paired in their order, the first with the second and so on. One that is
    left over has no pair and gets 0; so has a NaN.
    """
    same_shape("pair_difference", reward_B, group_B)
    there_B = ~reward_B.isnan()
    peer_BB = peers(group_B, there_B)
    place_B, count_B = peer_BB.tril(-1).sum(1), peer_BB.sum(1)
    paired_B = there_B & (place_B < count_B - count_B % 2)
    other_BB = peer_BB & (place_B[None] == (place_B ^ 1)[:, None])
    other_B = torch.where(other_BB, reward_B[None], torch.zeros_like(reward_B)).sum(1)
    return torch.where(paired_B, reward_B - other_B, torch.zeros_like(reward_B)), paired_B


def pairwise_surrogate(
    log_ratio_P2: Tensor, advantage_P2: Tensor, *, clip: float, clipping: Clipping
) -> tuple[Tensor, Tensor]:
    """Return the loss of each pair (P,), and where the clip leaves a response no gradient (P, 2).

    With rho = exp(log_ratio) of a whole response, d the difference of the two, A of the first one, w held constant:

        separate (V1)  1/2 sum of both responses: w max(-A rho, -A clip(rho, 1 - clip, 1 + clip)), w = rho of the other
        joint (V2)     1/2 w max(-A d, -A clip(d, -clip, clip)),  d = log rho_1 - log rho_2,     w = rho_1 rho_2

    Where nothing has moved both have P3O's published gradient, -A/2 (grad log pi(y1) - grad log pi(y2)); they do not
    change where the two responses change places. How the paper prints its clips could not be read: these are ours.
    All exponents are held inside +-20.

    Args:
        log_ratio_P2: log pi - log pi_old, summed over each response, in nats; gradients flow through it.
        advantage_P2: the difference of the two rewards: a number, and minus that number.

    Raises:
        ValueError: an unknown clipping, or advantages of a pair that do not sum to 0.
    """
    same_shape("pairwise_surrogate", log_ratio_P2, advantage_P2)
    if not torch.equal(advantage_P2[:, 0], -advantage_P2[:, 1]):
        raise ValueError("pairwise_surrogate needs pairs side by side: the two advantages of a pair sum to 0")
    if clipping == "separate":
        ratio_P2 = probability_ratio(log_ratio_P2, torch.zeros_like(log_ratio_P2))
        loss_P2 = ratio_P2.detach().flip(1) * clipped_surrogate(ratio_P2, advantage_P2, low=clip, high=clip)
        return loss_P2.sum(1) / 2, is_clipped(ratio_P2.detach(), advantage_P2, low=clip, high=clip)
    if clipping == "joint":
        apart_P, won_P = log_ratio_P2[:, 0] - log_ratio_P2[:, 1], advantage_P2[:, 0]
        free_P, held_P = -won_P * apart_P, -won_P * apart_P.clamp(-clip, clip)
        weight_P = probability_ratio(log_ratio_P2.detach().sum(1), torch.zeros_like(won_P))
        return weight_P * torch.maximum(free_P, held_P) / 2, (held_P > free_P)[:, None].expand(-1, 2)
    raise ValueError(f"the clipping is separate or joint, got {clipping!r}")
