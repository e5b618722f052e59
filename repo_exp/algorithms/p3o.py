"""P3O, Pairwise PPO (2023, arXiv 2310.00212): two replies a context, the better one up and the other one down.

    r    = R_total - kl_coefficient * (log pi_old(reply) - log pi_SFT(reply))
    grad = (r_1 - r_2) (grad log pi(y_1) - grad log pi(y_2)) / 2          where nothing has moved

Reward models learnt from pairs are defined up to a constant a context, which the difference does not know of.
No value network; the reply is one action. Off its own policy the loss is clipped, each reply by itself (``clipping:
separate``, V1) or the pair (``joint``, V2). The paper's clips could not be read; ours are in ``core/pairwise.py``.

Edge cases: a context of which one reply has no total is left out. Two replies of equal worth give no gradient. A pair
is never cut apart, by minibatches or by microbatches. Log-probabilities are sums, so long replies weigh more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts
from repo_exp.algorithms.options.p3o import Options
from repo_exp.core.diagnostics import approximate_kl
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import reply_sum, weighted_sum
from repo_exp.core.pairwise import pair_difference, pairwise_surrogate, sequence_reward
from repo_exp.core.policy_loss import probability_ratio


class Algorithm(OnlineAlgorithm):
    """The credit and the loss of pairs."""

    group_size = 2
    whole_groups = True
    aggregation = "sequence_sum"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.needs_reference = options.kl_coefficient > 0

    def credit(self, seen: Rollouts) -> Credit:
        """Give every token of a reply what the reply is worth above the other one."""
        reward_B = seen.total_B
        if self.needs_reference:
            reward_B = sequence_reward(
                seen.total_B,
                seen.old_logp_BT,
                seen.reference_logp_BT,
                seen.mask_BT,
                kl_coefficient=self.options.kl_coefficient,
            )
        advantage_B, paired_B = pair_difference(reward_B, seen.group_B)
        return Credit(torch.where(seen.mask_BT, advantage_B[:, None], torch.zeros(())), kept_B=paired_B)

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the mean over the step's pairs of the pairwise surrogate."""
        log_ratio_B = reply_sum(logp_BT - part.old_logp_BT, part.mask_BT)
        # a reply has its advantage and its weight, 1 / replies of the step, at every token
        pairs_P2, advantage_P2, weight_P2 = (
            each_B.view(-1, 2) for each_B in (log_ratio_B, part.advantage_BT[:, 0], part.weight_BT[:, 0])
        )
        loss_P, clipped_P2 = pairwise_surrogate(
            pairs_P2, advantage_P2, clip=self.options.clip, clipping=self.options.clipping
        )
        share_B, ratio_B = part.share_BT.sum(1), probability_ratio(log_ratio_B.detach(), torch.zeros_like(log_ratio_B))
        metrics = {
            "policy/approx_kl": approximate_kl(logp_BT, part.old_logp_BT, part.share_BT),
            "policy/ratio": weighted_sum(ratio_B, share_B).item(),
            "policy/clip_fraction": weighted_sum(clipped_P2.reshape(-1).to(share_B), share_B).item(),
        }
        if part.reference_logp_BT is not None:
            kl_BT = kl_per_token(logp_BT.detach(), part.reference_logp_BT, estimator="k1")
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT, part.share_BT).item()
        return (loss_P * weight_P2.sum(1)).sum(), metrics
