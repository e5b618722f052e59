"""PPO (Schulman et al., 2017, arXiv 1707.06347) with a value network, one response to each prompt: no groups.

    r_t = -kl_coefficient * KL_t;  r_last += R_total
    A   = GAE(r, V);  returns = A + V;  A is standardised over the batch
    L   = max(-A ratio, -A clip(ratio, 1 - clip_low, 1 + clip_high))  and  0.5 max((V - R)^2, (V_clip - R)^2)

REPO (2025, arXiv 2510.04214) is this with R_total = R_model + |R_model| E / n and no KL; plain PPO takes
R_total = R_model. The two differ in how the reward is combined and in nothing here. gamma, lambda, the clips and the
number of passes are not published for REPO; ours are PPO's usual ones.

Options that PPO for language models has had (Ziegler et al., 2019, arXiv 1909.08593) are off by default: a weight of
the KL that follows a target (``kl_target``), rewards divided by their standard deviation (``whiten_rewards``), a
penalty for responses that do not end, and a bound on the loss where A < 0 (``dual_clip``, Ye et al., 2020, arXiv
1912.09729).

Edge cases: a response without a total (NaN) takes no part in credit, loss or statistics. With one pass and one
minibatch an update takes a single step, so the ratio is 1 and the clip has no effect.

Legend: B responses, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from repo_exp.algorithms.clipped import ClippedAlgorithm
from repo_exp.algorithms.interface import (
    Credit,
    Metrics,
    OldLogprobs,
    ReferenceLogprobs,
    RolloutBatch,
    ValueMinibatch,
    Values,
)
from repo_exp.algorithms.options.ppo import Options
from repo_exp.core.advantage import gae, reward_at_last_token
from repo_exp.core.kl import adapted_coefficient, kl_per_token
from repo_exp.core.masks import standardize, weighted_sum
from repo_exp.core.value_loss import clipped_value_error


class Algorithm(ClippedAlgorithm[Options]):
    """The credit and the losses of PPO."""

    kl_in_loss = False  # it is a part of the reward

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        separable = not options.whiten_rewards and options.kl_target is None
        self.signals = (Values(separable=separable), *self.signals)
        self.kl_coefficient = options.kl_coefficient  # moves from batch to batch where there is a target

    def credit(self, batch: RolloutBatch) -> Credit:
        """Return advantages and returns of a whole batch; then let the weight of the KL follow its target."""
        o, value_BT, mask_BT = self.options, batch[Values], batch.mask_BT
        total_B, metrics = batch.total_B, {}
        if o.missing_eos_penalty > 0:
            total_B = total_B - o.missing_eos_penalty * (~batch.finished_B).to(total_B.dtype)
        reward_BT = reward_at_last_token(total_B, mask_BT)
        if o.kl_coefficient > 0:
            kl_BT = kl_per_token(batch[OldLogprobs], batch[ReferenceLogprobs], estimator=o.kl_estimator)
            kl_BT = torch.where(mask_BT, kl_BT, torch.zeros_like(kl_BT))
            reward_BT = reward_BT - self.kl_coefficient * kl_BT
            metrics = self._adapt(kl_BT, mask_BT)
        if o.whiten_rewards:
            reward_BT = standardize(reward_BT, mask_BT, keep_mean=True)
        advantage_BT = gae(reward_BT, value_BT, mask_BT, gamma=o.gamma, gae_lambda=o.gae_lambda)
        return_BT = torch.where(mask_BT, advantage_BT + value_BT, torch.zeros_like(value_BT))
        advantage_BT = standardize(advantage_BT, mask_BT) if o.whiten_advantages else advantage_BT
        return Credit(advantage_BT, return_BT, metrics=metrics)

    def _adapt(self, kl_BT: Tensor, mask_BT: Tensor) -> Metrics:
        """Report the KL and its weight in this batch, and set the weight of the next one."""
        o, responses = self.options, len(kl_BT)
        metrics = {
            "policy/kl_to_reference": (kl_BT.sum() / mask_BT.sum().clamp(min=1)).item(),
            "policy/kl_coefficient": self.kl_coefficient,
        }
        if o.kl_target is not None:
            kl = kl_BT.sum().item() / responses
            self.kl_coefficient = adapted_coefficient(
                self.kl_coefficient, kl, target=o.kl_target, horizon=o.kl_horizon, responses=responses
            )
        return metrics

    def value_loss(self, value_BT: Tensor, minibatch: ValueMinibatch) -> Tensor:
        """Return the clipped squared error."""
        error_BT = clipped_value_error(
            value_BT, minibatch.old_value_BT, minibatch.return_BT, clip=self.options.value_clip
        )
        return weighted_sum(error_BT, minibatch.weight_BT)

    def state(self) -> dict[str, float]:
        """Return the weight of the KL, which one batch leaves to the next."""
        return {"kl_coefficient": self.kl_coefficient}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on with that weight."""
        self.kl_coefficient = state["kl_coefficient"]
