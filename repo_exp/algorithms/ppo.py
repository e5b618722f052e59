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

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from repo_exp.core.advantage import gae, reward_at_last_token
from repo_exp.core.diagnostics import approximate_kl
from repo_exp.core.kl import Estimator, kl_per_token
from repo_exp.core.masks import masked_sum, standardize
from repo_exp.core.policy_loss import clipped_surrogate, is_clipped, probability_ratio
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


@dataclass(frozen=True, slots=True)
class Credit:
    """What the learner is told about each token: (B, T) advantages, and the returns that the values aim at."""

    advantage_BT: Tensor
    return_BT: Tensor


class Algorithm:
    """The credit and the losses of PPO, without a word of how they are computed in batches."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.passes, self.minibatches = options.passes, options.minibatches
        self.needs_reference = options.kl_coefficient > 0

    def credit(
        self,
        total_B: Tensor,
        value_BT: Tensor,
        mask_BT: Tensor,
        *,
        old_logp_BT: Tensor | None = None,
        reference_logp_BT: Tensor | None = None,
    ) -> Credit:
        """Return advantages and returns of a whole batch.

        Args:
            total_B: R_total of each reply; every one is finite.
            value_BT: what the value network said before learning from this batch.
            mask_BT: True at reply tokens.
            old_logp_BT: log-probabilities at sampling time; with the reference's, needed for the KL only.
            reference_logp_BT: the SFT policy's log-probabilities of the same tokens.
        """
        o = self.options
        reward_BT = reward_at_last_token(total_B, mask_BT)
        if o.kl_coefficient > 0:
            kl_BT = kl_per_token(old_logp_BT, reference_logp_BT, estimator=o.kl_estimator)
            reward_BT = reward_BT - o.kl_coefficient * torch.where(mask_BT, kl_BT, torch.zeros_like(kl_BT))
        advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=o.gamma, gae_lambda=o.gae_lambda)
        return_BT = torch.where(mask_BT, advantage_BT + value_BT, torch.zeros_like(value_BT))
        return Credit(standardize(advantage_BT, mask_BT) if o.whiten_advantages else advantage_BT, return_BT)

    def policy_loss(
        self, logp_BT: Tensor, old_logp_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor, *, count: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss summed over this part's tokens and divided by ``count``, the tokens of the whole step.

        The metrics are shares of ``count`` as well, so the parts of a step add up to the step.
        """
        o = self.options
        ratio_BT = probability_ratio(logp_BT, old_logp_BT)
        loss = masked_sum(clipped_surrogate(ratio_BT, advantage_BT, low=o.clip, high=o.clip), mask_BT) / count
        with torch.no_grad():
            share = mask_BT.sum().item() / count
            clipped_BT = is_clipped(ratio_BT, advantage_BT, low=o.clip, high=o.clip)
            metrics = {
                "policy/approx_kl": approximate_kl(logp_BT, old_logp_BT, mask_BT).item() * share,
                "policy/clip_fraction": masked_sum(clipped_BT.float(), mask_BT).item() / count,
                "policy/ratio": masked_sum(ratio_BT, mask_BT).item() / count,
            }
        return loss, metrics

    def value_loss(
        self, value_BT: Tensor, old_value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor, *, count: float
    ) -> Tensor:
        """Return the value network's loss, summed over this part's tokens and divided by ``count``."""
        error_BT = clipped_value_error(value_BT, old_value_BT, return_BT, clip=self.options.value_clip)
        return masked_sum(error_BT, mask_BT) / count
