"""PPO (Schulman et al., 2017) with a value network, one reply a context: no groups.   B replies, T tokens.

    r_t = -kl_coefficient * KL_t;  r_last += R_total
    A   = GAE(r, V);  returns = A + V;  A is standardised over the batch
    L   = max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip))  and  0.5 max((V - R)^2, (V_clip - R)^2)

REPO is this with R_total = R_model + |R_model| E / n and no KL; plain PPO takes R_total = R_model. The
two differ in ``reward.join`` and in nothing here. gamma, lambda, the clips and the number of passes are
not published for REPO; ours are PPO's usual ones.

Edge cases: a reply without a total (NaN) takes no part in credit, loss or statistics. With one pass and
one minibatch an update takes a single step, so the ratio is 1 and the clip is silent.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts, ValuePart
from repo_exp.core.advantage import gae, reward_at_last_token
from repo_exp.core.diagnostics import surrogate_metrics
from repo_exp.core.kl import Estimator, kl_per_token
from repo_exp.core.masks import standardize, weighted_sum
from repo_exp.core.policy_loss import clipped_surrogate, probability_ratio
from repo_exp.core.value_loss import clipped_value_error

online = True


class Options(BaseModel):
    """The knobs of PPO and of REPO."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["ppo"]
    passes: Annotated[int, Field(ge=1)] = Field(description="times that each batch of replies is learnt from")
    minibatches: Annotated[int, Field(ge=1)] = Field(description="optimiser steps in a pass")
    gamma: Annotated[float, Field(ge=0, le=1)]
    gae_lambda: Annotated[float, Field(ge=0, le=1)]
    clip: Annotated[float, Field(gt=0, lt=1)]
    value_clip: Annotated[float, Field(gt=0)]
    whiten_advantages: bool
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(
        description="weight of the KL to the SFT policy; 0 needs none"
    )
    kl_estimator: Estimator


class Algorithm(OnlineAlgorithm):
    """The credit and the losses of PPO, without a word of how they are computed in batches."""

    needs_value = True

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.passes, self.minibatches = options.passes, options.minibatches
        self.needs_reference = options.kl_coefficient > 0

    def credit(self, seen: Rollouts) -> Credit:
        """Return advantages and returns of a whole batch."""
        o, value_BT, mask_BT = self.options, seen.value_BT, seen.mask_BT
        reward_BT = reward_at_last_token(seen.total_B, mask_BT)
        if o.kl_coefficient > 0:
            kl_BT = kl_per_token(seen.old_logp_BT, seen.reference_logp_BT, estimator=o.kl_estimator)
            reward_BT = reward_BT - o.kl_coefficient * torch.where(mask_BT, kl_BT, torch.zeros_like(kl_BT))
        advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=o.gamma, gae_lambda=o.gae_lambda)
        return_BT = torch.where(mask_BT, advantage_BT + value_BT, torch.zeros_like(value_BT))
        return Credit(standardize(advantage_BT, mask_BT) if o.whiten_advantages else advantage_BT, return_BT)

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the clipped surrogate."""
        clip = self.options.clip
        ratio_BT = probability_ratio(logp_BT, part.old_logp_BT)
        loss_BT = clipped_surrogate(ratio_BT, part.advantage_BT, low=clip, high=clip)
        metrics = surrogate_metrics(
            logp_BT, part.old_logp_BT, ratio_BT, part.advantage_BT, part.share_BT, low=clip, high=clip
        )
        return weighted_sum(loss_BT, part.weight_BT), metrics

    def value_loss(self, value_BT: Tensor, part: ValuePart) -> Tensor:
        """Return the clipped squared error."""
        error_BT = clipped_value_error(value_BT, part.old_value_BT, part.return_BT, clip=self.options.value_clip)
        return weighted_sum(error_BT, part.weight_BT)
