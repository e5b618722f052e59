"""P3O, Pairwise PPO (2023, arXiv 2310.00212): the better of two responses becomes likelier, the other less likely.

    r    = R_total - kl_coefficient * (log pi_old(response) - log pi_SFT(response))
    grad = (r_1 - r_2) (grad log pi(y_1) - grad log pi(y_2)) / 2          at the policy that sampled

Reward models that are trained on pairs are defined up to a constant for each prompt, which cancels in the difference.
No value network; the response is one action. Away from the policy that sampled, the loss is clipped, each response by
itself (``clipping: separate``, V1) or the pair (``joint``, V2). The paper's clips could not be read; ours are in
``core/pairwise.py``.

Edge cases: a prompt of which one response has no total is left out. Two responses of equal reward give no gradient. A
pair is never split, by minibatches or by microbatches. Log-probabilities are sums, so long responses have more weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms.interface import (
    Credit,
    Metrics,
    Minibatch,
    OldLogprobs,
    OnlineAlgorithm,
    ReferenceLogprobs,
    RolloutBatch,
)
from repo_exp.algorithms.options.p3o import Options
from repo_exp.core.diagnostics import approximate_kl
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import response_sum, weighted_sum
from repo_exp.core.pairwise import pair_difference, pairwise_surrogate, sequence_reward
from repo_exp.core.policy_loss import probability_ratio


class Algorithm(OnlineAlgorithm[Options]):
    """The credit and the loss of pairs."""

    group_size = 2
    unit = "group"
    aggregation = "sequence_sum"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if options.kl_coefficient > 0:
            self.signals = (OldLogprobs(), ReferenceLogprobs())

    def credit(self, batch: RolloutBatch) -> Credit:
        """Give every token of a response the difference to the reward of the other one."""
        reward_B = batch.total_B
        if ReferenceLogprobs in batch:
            reward_B = sequence_reward(
                batch.total_B,
                batch[OldLogprobs],
                batch[ReferenceLogprobs],
                batch.mask_BT,
                kl_coefficient=self.options.kl_coefficient,
            )
        advantage_B, paired_B = pair_difference(reward_B, batch.group_B)
        return Credit(torch.where(batch.mask_BT, advantage_B[:, None], torch.zeros(())), kept_B=paired_B)

    def policy_loss(self, logp_BT: Tensor, minibatch: Minibatch) -> tuple[Tensor, Metrics]:
        """Return the mean over the step's pairs of the pairwise surrogate."""
        log_ratio_B = response_sum(logp_BT - minibatch.old_logp_BT, minibatch.mask_BT)
        # a response has its advantage and its weight, 1 / responses of the step, at every token
        log_ratio_P2, advantage_P2, weight_P2 = (
            x_B.view(-1, 2) for x_B in (log_ratio_B, minibatch.advantage_BT[:, 0], minibatch.weight_BT[:, 0])
        )
        loss_P, clipped_P2 = pairwise_surrogate(
            log_ratio_P2, advantage_P2, clip=self.options.clip, clipping=self.options.clipping
        )
        share_BT = minibatch.share_BT
        share_B = share_BT.sum(1)
        ratio_B = probability_ratio(log_ratio_B.detach(), torch.zeros_like(log_ratio_B))
        metrics = {
            "policy/approx_kl": approximate_kl(logp_BT, minibatch.old_logp_BT, share_BT),
            "policy/ratio": weighted_sum(ratio_B, share_B).item(),
            "policy/clip_fraction": weighted_sum(clipped_P2.reshape(-1).to(share_B), share_B).item(),
        }
        if ReferenceLogprobs in minibatch:
            kl_BT = kl_per_token(logp_BT.detach(), minibatch[ReferenceLogprobs], estimator="k1")
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT, share_BT).item()
        return (loss_P * weight_P2.sum(1)).sum(), metrics
