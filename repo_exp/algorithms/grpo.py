"""GRPO (Shao et al., 2024, arXiv 2402.03300): several replies a context, judged against one another.

    A_i = (R_i - mean of its group) / (standard deviation of its group + 1e-4), the same for every token of reply i
    L   = sum over tokens of w [ max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip)) + kl_coefficient * KL ]

with w = 1 / (B |o_i|) as published (``aggregation: sequence_mean``). There is no value network. The deviation is
the unbiased one, as in the libraries in use; the paper does not say which.

Edge cases: a group whose totals are all alike gives no credit. A reply without a total (NaN) takes no part in
its group's statistics; a group with one total left gives no credit either. Published: beta 0.04, 64 replies a
context, one step an update; the defaults here are smaller and without the KL, see ``conf/algorithm/grpo.yaml``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts
from repo_exp.core.advantage import Scale, group_advantage
from repo_exp.core.diagnostics import surrogate_metrics
from repo_exp.core.kl import Estimator, kl_per_token
from repo_exp.core.masks import Aggregation, weighted_sum
from repo_exp.core.policy_loss import clipped_surrogate, probability_ratio

online = True


class Options(BaseModel):
    """The knobs of GRPO."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["grpo"]
    group_size: Annotated[int, Field(ge=2)] = Field(description="replies to each context, judged against one another")
    passes: Annotated[int, Field(ge=1)] = Field(description="times that each batch of replies is learnt from")
    minibatches: Annotated[int, Field(ge=1)] = Field(description="optimiser steps in a pass")
    scale: Scale = Field(description="whose standard deviation divides the advantages: group, batch or none")
    aggregation: Aggregation = Field(description="what a token counts: token_mean, sequence_mean or constant")
    clip: Annotated[float, Field(gt=0, lt=1)]
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(
        description="weight of the KL to the SFT policy; 0 needs none"
    )
    kl_estimator: Estimator


class Algorithm(OnlineAlgorithm):
    """The credit and the loss of GRPO."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.passes, self.minibatches, self.group_size = options.passes, options.minibatches, options.group_size
        self.aggregation = options.aggregation
        self.needs_reference = options.kl_coefficient > 0

    def credit(self, seen: Rollouts) -> Credit:
        """Give every token of a reply the reply's standing in its group."""
        advantage_B = group_advantage(seen.total_B, seen.group_B, scale=self.options.scale)
        return Credit(torch.where(seen.mask_BT, advantage_B[:, None], torch.zeros(())))

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the clipped surrogate, and the KL if it has a weight."""
        o = self.options
        ratio_BT = probability_ratio(logp_BT, part.old_logp_BT)
        loss_BT = clipped_surrogate(ratio_BT, part.advantage_BT, low=o.clip, high=o.clip)
        metrics = surrogate_metrics(logp_BT, part.old_logp_BT, part.advantage_BT, part.share_BT, clip=o.clip)
        if part.reference_logp_BT is not None:
            kl_BT = kl_per_token(logp_BT, part.reference_logp_BT, estimator=o.kl_estimator)
            loss_BT = loss_BT + o.kl_coefficient * kl_BT
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT.detach(), part.share_BT).item()
        return weighted_sum(loss_BT, part.weight_BT), metrics
