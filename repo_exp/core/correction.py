"""Importance weights for different probabilities in sampler and training.   B responses, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.choices import Correction
from repo_exp.core.policy_loss import probability_ratio


def sampler_correction(
    old_logp_BT: Tensor, sampler_logp_BT: Tensor, *, kind: Correction, cap: float
) -> tuple[Tensor, Tensor]:
    """Return what each token's weight in the policy's loss is multiplied with, and where the cap decided it: (B, T).

        w          = pi_old / pi_sampler: the learner's probability of the token over that of the engine that drew it
        none         1
        truncated    min(w, cap)                            truncated importance sampling, Yao et al., 2025
        masked       w inside [1 / cap, cap], 0 outside     as IcePop does, whose two bounds need not be reciprocal

    Where learner and sampler agree, w is 1 and nothing changes. The factor has no gradient.

    Args:
        old_logp_BT: log-probabilities before the first step of the update, in nats.
        sampler_logp_BT: those of the sampler, in nats.
        cap: at least 1.

    Raises:
        ValueError: an unknown kind.
    """
    weight_BT = probability_ratio(old_logp_BT, sampler_logp_BT).detach()
    if kind == "none":
        return torch.ones_like(weight_BT), torch.zeros_like(weight_BT, dtype=torch.bool)
    if kind == "truncated":
        return weight_BT.clamp(max=cap), weight_BT > cap
    if kind == "masked":
        outside_BT = (weight_BT > cap) | (weight_BT < 1 / cap)
        return weight_BT.masked_fill(outside_BT, 0.0), outside_BT
    raise ValueError(f"the correction is none, truncated or masked, got {kind!r}")
