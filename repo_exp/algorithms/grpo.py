"""GRPO (Shao et al., 2024, arXiv 2402.03300) and its relatives: several responses to a prompt are compared.

    A_i = (R_i - mean of its group) / (standard deviation of its group + 1e-4), the same for every token of response i
    L   = sum over tokens of w [ max(-A ratio, -A clip(ratio, 1 - clip_low, 1 + clip_high)) + kl_coefficient * KL ]

with w = 1 / (B |o_i|) as published (``aggregation: sequence_mean``). There is no value network. The deviation is
the unbiased one, as in the libraries in use; the paper does not say which. The relatives differ by a word:

    dr_grpo   scale: none, aggregation: constant                          Liu et al., 2025, arXiv 2503.20783
    dapo      clip_high above clip_low, aggregation: token_mean,          Yu et al., 2025, arXiv 2503.14476
              overlong_cache, drop_silent_groups
    gspo      ratio: sequence, aggregation: sequence_mean                 Zheng et al., 2025, arXiv 2507.18071
    rloo      baseline: leave_one_out, scale: none, sequence_sum          Ahmadian et al., 2024, arXiv 2402.14740
    cispo     surrogate: truncated_importance, aggregation: token_mean    MiniMax, 2025, arXiv 2506.13585

Edge cases: a group of equal totals has an advantage of zero. A response without a total (NaN) takes no part in its
group's statistics; in a group with one total left, advantages are zero too. DAPO samples again until every group has
unequal totals; here such groups are left out of the loss's count (``drop_silent_groups``) and not replaced, so that all
methods spend the same budget of responses.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from repo_exp.algorithms.clipped import ClippedAlgorithm
from repo_exp.algorithms.interface import Credit, Metrics, Minibatch, RolloutBatch
from repo_exp.algorithms.options.grpo import LossOptions, Options
from repo_exp.core.advantage import group_advantage, in_unequal_groups, overlong_penalty
from repo_exp.core.masks import weighted_sum
from repo_exp.core.policy_loss import sequence_ratio, truncated_importance

LossOptionsT = TypeVar("LossOptionsT", bound=LossOptions, covariant=True)
GRPOOptionsT = TypeVar("GRPOOptionsT", bound=Options, covariant=True)


class GroupAlgorithm(ClippedAlgorithm[LossOptionsT]):
    """A method with GRPO's loss: every token of a response has the response's advantage, which a subclass adds."""

    def __init__(self, options: LossOptionsT) -> None:
        super().__init__(options)
        self.group_size = options.group_size

    def advantage(self, batch: RolloutBatch) -> Tensor:
        """Return the advantage of each response: (B,)."""
        raise NotImplementedError

    def credit(self, batch: RolloutBatch) -> Credit:
        """Give every token of a response the response's advantage."""
        advantage_B = self.advantage(batch)
        # a response at its group's very mean has no advantage, and is kept all the same: its group has unequal totals
        kept_B = in_unequal_groups(advantage_B, batch.group_B) if self.options.drop_silent_groups else None
        advantage_BT = torch.where(batch.mask_BT, advantage_B[:, None], torch.zeros(()))
        return Credit(advantage_BT, kept_B=kept_B)

    def ratio(self, logp_BT: Tensor, minibatch: Minibatch) -> Tensor:
        """Return the ratio of each token, or GSPO's of the whole response: (B, T)."""
        if self.options.ratio == "sequence":
            return sequence_ratio(logp_BT, minibatch.old_logp_BT, minibatch.mask_BT)
        return super().ratio(logp_BT, minibatch)

    def surrogate(self, logp_BT: Tensor, ratio_BT: Tensor, advantage_BT: Tensor) -> Tensor:
        """Return the clipped surrogate, or CISPO's: (B, T)."""
        if self.options.surrogate == "truncated_importance":
            return truncated_importance(logp_BT, ratio_BT, advantage_BT, high=1 + self.options.clip_high)
        return super().surrogate(logp_BT, ratio_BT, advantage_BT)

    def policy_loss(self, logp_BT: Tensor, minibatch: Minibatch) -> tuple[Tensor, Metrics]:
        """Return the surrogate, and the KL where it has a weight."""
        loss, metrics = super().policy_loss(logp_BT, minibatch)
        if self.options.surrogate == "truncated_importance":  # no gradient is removed; weights are cut
            cut_BT = (self.ratio(logp_BT.detach(), minibatch) > 1 + self.options.clip_high).float()
            metrics["policy/clip_fraction"] = weighted_sum(cut_BT, minibatch.share_BT).item()
        return loss, metrics


class GRPO(GroupAlgorithm[GRPOOptionsT]):
    """The advantages of GRPO and its relatives."""

    def advantage(self, batch: RolloutBatch) -> Tensor:
        """Return the advantage of each response in its group: (B,)."""
        o, total_B = self.options, batch.total_B
        if o.overlong_cache:
            length_B = batch.mask_BT.sum(1)
            total_B = total_B + overlong_penalty(length_B, longest=batch.max_tokens, cache=o.overlong_cache)
        return group_advantage(total_B, batch.group_B, scale=o.scale, baseline=o.baseline)


class Algorithm(GRPO[Options]):
    """GRPO, with its own options."""
