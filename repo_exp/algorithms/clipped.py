"""The loss that most online methods share: PPO's clipped surrogate of each token, and a KL to the SFT policy.

    ratio = pi(token) / pi_old(token)
    L     = sum over tokens of w [ max(-A ratio, -A clip(ratio, 1 - clip_low, 1 + clip_high)) + kl_coefficient KL ]

w is the weight that ``aggregation`` gives to a token (Schulman et al., 2017, arXiv 1707.06347; the KL in the loss is
GRPO's, Shao et al., 2024, arXiv 2402.03300). Where the KL is a part of the reward instead, a method says
``kl_in_loss = False``.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from repo_exp.algorithms.interface import (
    Metrics,
    Minibatch,
    OldLogprobs,
    OnlineAlgorithm,
    ReferenceLogprobs,
)
from repo_exp.algorithms.options.base import OnlineOptions
from repo_exp.core.diagnostics import surrogate_metrics
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import weighted_sum
from repo_exp.core.policy_loss import clipped_surrogate, probability_ratio

OnlineOptionsT = TypeVar("OnlineOptionsT", bound=OnlineOptions, covariant=True)


class ClippedAlgorithm(OnlineAlgorithm[OnlineOptionsT]):
    """A method with this loss; a subclass adds ``credit``."""

    kl_in_loss: bool = True

    def __init__(self, options: OnlineOptionsT) -> None:
        super().__init__(options)
        self.aggregation = options.aggregation
        if options.kl_coefficient > 0:
            self.signals = (OldLogprobs(), ReferenceLogprobs())

    def policy_loss(self, logp_BT: Tensor, minibatch: Minibatch) -> tuple[Tensor, Metrics]:
        """Return the surrogate, and the KL where it has a weight."""
        ratio_BT = self.ratio(logp_BT, minibatch)
        loss_BT = self.surrogate(logp_BT, ratio_BT, minibatch.advantage_BT)
        metrics = surrogate_metrics(
            logp_BT,
            minibatch.old_logp_BT,
            ratio_BT,
            minibatch.advantage_BT,
            minibatch.share_BT,
            **self.options.clips,
        )
        if self.kl_in_loss and ReferenceLogprobs in minibatch:
            kl_BT = self.kl(logp_BT, minibatch)
            loss_BT = loss_BT + self.options.kl_coefficient * kl_BT
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT.detach(), minibatch.share_BT).item()
        return weighted_sum(loss_BT, minibatch.weight_BT), metrics

    def ratio(self, logp_BT: Tensor, minibatch: Minibatch) -> Tensor:
        """Return the ratio that is clipped at each token: (B, T)."""
        return probability_ratio(logp_BT, minibatch.old_logp_BT)

    def surrogate(self, logp_BT: Tensor, ratio_BT: Tensor, advantage_BT: Tensor) -> Tensor:
        """Return the loss of each token before the KL: (B, T)."""
        return clipped_surrogate(ratio_BT, advantage_BT, **self.options.clips)

    def kl(self, logp_BT: Tensor, minibatch: Minibatch) -> Tensor:
        """Return the estimate of the KL at each token, in nats: (B, T)."""
        return kl_per_token(logp_BT, minibatch[ReferenceLogprobs], estimator=self.options.kl_estimator)
