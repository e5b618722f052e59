"""GRPO (Shao et al., 2024, arXiv 2402.03300) and its relatives: several replies a context, judged against one another.

    A_i = (R_i - mean of its group) / (standard deviation of its group + 1e-4), the same for every token of reply i
    L   = sum over tokens of w [ max(-A ratio, -A clip(ratio, 1 - clip_low, 1 + clip_high)) + kl_coefficient * KL ]

with w = 1 / (B |o_i|) as published (``aggregation: sequence_mean``). There is no value network. The deviation is
the unbiased one, as in the libraries in use; the paper does not say which. The relatives differ by a word:

    dr_grpo   scale: none, aggregation: constant                          Liu et al., 2025, arXiv 2503.20783
    dapo      clip_high above clip_low, aggregation: token_mean,          Yu et al., 2025, arXiv 2503.14476
              overlong_cache, drop_silent_groups
    gspo      ratio: sequence, aggregation: sequence_mean                 Zheng et al., 2025, arXiv 2507.18071
    rloo      baseline: leave_one_out, scale: none, sequence_sum          Ahmadian et al., 2024, arXiv 2402.14740
    cispo     surrogate: truncated_importance, aggregation: token_mean    MiniMax, 2025, arXiv 2506.13585

Edge cases: a group whose totals are all alike gives no credit. A reply without a total (NaN) takes no part in
its group's statistics; a group with one total left gives no credit either. DAPO samples anew until every group
has spread; here such groups are dropped from the loss's count (``drop_silent_groups``) and not replaced, so that all
methods spend the same budget of replies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts
from repo_exp.algorithms.options.grpo import LossOptions
from repo_exp.core.advantage import group_advantage, in_groups_with_spread, overlong_penalty
from repo_exp.core.diagnostics import surrogate_metrics
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import weighted_sum
from repo_exp.core.policy_loss import clipped_surrogate, probability_ratio, sequence_ratio, truncated_importance


class Algorithm(OnlineAlgorithm):
    """The credit and the loss of GRPO and its relatives."""

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self.group_size = options.group_size

    def credit(self, seen: Rollouts) -> Credit:
        """Give every token of a reply the reply's standing in its group."""
        standing_B = self.advantage(seen)
        # a reply at its group's very mean has no credit, and is kept all the same: its group has spread
        kept_B = in_groups_with_spread(standing_B, seen.group_B) if self.options.drop_silent_groups else None
        credit_BT = torch.where(seen.mask_BT, standing_B[:, None], torch.zeros(()))
        return Credit(credit_BT, kept_B=kept_B)

    def advantage(self, seen: Rollouts) -> Tensor:
        """Return the standing of each reply: (B,)."""
        o, total_B = self.options, seen.total_B
        if o.overlong_cache:
            total_B = total_B + overlong_penalty(seen.mask_BT.sum(1), longest=seen.longest, cache=o.overlong_cache)
        return group_advantage(total_B, seen.group_B, scale=o.scale, baseline=o.baseline)

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the surrogate, and the KL if it has a weight."""
        o, clips = self.options, self.options.clips
        if o.ratio == "sequence":
            ratio_BT = sequence_ratio(logp_BT, part.old_logp_BT, part.mask_BT)
        else:
            ratio_BT = probability_ratio(logp_BT, part.old_logp_BT)
        if o.surrogate == "clipped":
            loss_BT = clipped_surrogate(ratio_BT, part.advantage_BT, **clips)
        else:
            loss_BT = truncated_importance(logp_BT, ratio_BT, part.advantage_BT, high=1 + o.clip_high)
        metrics = surrogate_metrics(logp_BT, part.old_logp_BT, ratio_BT, part.advantage_BT, part.share_BT, **clips)
        if o.surrogate == "truncated_importance":  # no gradient is removed; weights are cut
            cut_BT = (ratio_BT.detach() > 1 + o.clip_high).float()
            metrics["policy/clip_fraction"] = weighted_sum(cut_BT, part.share_BT).item()
        if part.reference_logp_BT is not None:
            kl_BT = kl_per_token(logp_BT, part.reference_logp_BT, estimator=o.kl_estimator)
            loss_BT = loss_BT + o.kl_coefficient * kl_BT
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT.detach(), part.share_BT).item()
        return weighted_sum(loss_BT, part.weight_BT), metrics
