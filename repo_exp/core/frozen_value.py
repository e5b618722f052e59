"""Values that are trained before the policy and then frozen (DVPO, arXiv 2502.16944).   B responses, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.advantage import gae
from repo_exp.core.choices import ValueTargets
from repo_exp.core.masks import same_shape, standardize


def value_targets(
    reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, *, targets: ValueTargets, gamma: float, gae_lambda: float
) -> Tensor:
    """Return the targets of the values of a finished response: (B, T) in reward units, 0 outside the mask.

        td0              r_t + gamma Q_{t+1}                               the paper's, as others read it
        monte_carlo      sum over k of gamma^k r_{t+k}
        lambda_return    A_t + Q_t, with A the GAE of the values           as the released code has it

    The lambda-return with 0 and with 1 for lambda is the other two. No gradient flows through a target.

    Raises:
        ValueError: unknown targets.
    """
    lambdas = {"lambda_return": gae_lambda, "td0": 0.0, "monte_carlo": 1.0}
    if targets not in lambdas:
        raise ValueError(f"the targets are lambda_return, td0 or monte_carlo, got {targets!r}")
    value_BT = value_BT.detach()
    advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=gamma, gae_lambda=lambdas[targets])
    return torch.where(mask_BT, advantage_BT + value_BT, torch.zeros_like(value_BT))


def static_advantage(value_BT: Tensor, mask_BT: Tensor, *, whiten: bool) -> Tensor:
    """Return A_t = Q(s_t, a_t), standardised over the batch if asked for: (B, T), 0 outside the mask."""
    same_shape("static_advantage", value_BT, mask_BT)
    return standardize(value_BT, mask_BT) if whiten else torch.where(mask_BT, value_BT, torch.zeros_like(value_BT))


def released_advantage(
    value_BT: Tensor, kl_BT: Tensor, mask_BT: Tensor, *, kl_coefficient: float, gamma: float, gae_lambda: float,
    whiten: bool,
) -> Tensor:  # fmt: skip
    """Return the advantage of DVPO's released code: GAE over values and a reward that is the KL alone: (B, T).

        r_t = -kl_coefficient KL_t        no reward at the end
        A   = GAE(r, V);  with whiten V is standardised before it and A after it

    As nothing comes after the last token, its raw advantage is -V: high values late in a response are punished. The
    released code standardises over padding as well; here it is the response tokens that count.
    """
    same_shape("released_advantage", value_BT, kl_BT, mask_BT)
    value_BT = standardize(value_BT, mask_BT) if whiten else value_BT
    reward_BT = torch.where(mask_BT, -kl_coefficient * kl_BT, torch.zeros_like(kl_BT))
    advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=gamma, gae_lambda=gae_lambda)
    return standardize(advantage_BT, mask_BT) if whiten else advantage_BT
