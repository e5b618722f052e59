"""SPPO, Self-Play Preference Optimization (2024, arXiv 2405.00675): the best and the worst of K replies, and a target.

    s = log pi(reply) - log pi_t(reply),  pi_t the policy that drew the replies
    L = 1/2 [ (s_best - (P_best - 1/2) / beta)^2 + (s_worst - (P_worst - 1/2) / beta)^2 ],  mean over contexts

P is how often a reply beats one of its group, itself included, with P_ij = sigmoid(R_i - R_j). (Sequence-level PPO,
which has the same letters, is not this one.) Published in three iterations, each over its own prompts with replies of
the policy that the last one ended with. Here every update is an iteration: it draws replies, and pi_t is the policy it
starts with, so there is no reference to refresh. In the first step of an update s is 0, and the gradient that of a
win rate times log pi; the square shows from the second step on (``passes``, ``minibatches``).

The paper asks a preference model for P_ij. Here it is R_total's Bradley-Terry chance in the reward's own unit: of a
reward model the spread of the SFT policy's replies; points of rules or a judge are larger and make every win sure.

Edge cases: a context whose totals are all alike, or that has one total only, has no winner and is left out; a missing
total neither wins nor loses. Of equal replies the first one stands for all. Losses are 1e4 to 1e5 at the published
beta, as they should be; ``optimizer.clip_norm`` keeps the direction of so long a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts
from repo_exp.algorithms.options.sppo import Options
from repo_exp.core.diagnostics import approximate_kl
from repo_exp.core.masks import reply_sum
from repo_exp.core.self_play import self_play_loss, self_play_target


class Algorithm(OnlineAlgorithm):
    """The targets and the squared error."""

    whole_groups = True
    aggregation = "sequence_sum"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.group_size = options.group_size

    def credit(self, seen: Rollouts) -> Credit:
        """Give every token of the best and the worst the target of its reply; the others are not learnt from."""
        target_B, kept_B = self_play_target(
            seen.total_B, seen.group_B, beta=self.options.beta, target=self.options.target
        )
        return Credit(torch.where(seen.mask_BT, target_B[:, None], torch.zeros(())), kept_B=kept_B)

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the mean over the step's contexts of the squared error of a pair."""
        moved_B = reply_sum(logp_BT - part.old_logp_BT, part.mask_BT)
        # a reply has its target, and its weight of 1 / replies of the step, at every token; two replies are a pair
        target_B, weight_B = part.advantage_BT[:, 0], 2 * part.weight_BT[:, 0]
        loss_B = self_play_loss(moved_B, target_B, target=self.options.target)
        metrics = {
            "policy/approx_kl": approximate_kl(logp_BT, part.old_logp_BT, part.share_BT),
            "policy/margin": (weight_B * target_B.sign() * moved_B.detach()).sum().item(),
        }
        return (weight_B * loss_B).sum(), metrics
