"""SPPO, Self-Play Preference Optimization (2024, arXiv 2405.00675): the best and the worst of K responses.

    s = log pi(response) - log pi_t(response),  pi_t the policy that sampled the responses
    L = 1/2 [ (s_best - (P_best - 1/2) / beta)^2 + (s_worst - (P_worst - 1/2) / beta)^2 ],  mean over prompts

P is how often a response beats one of its group, itself included, with P_ij = sigmoid(R_i - R_j). (Sequence-level PPO
has the same letters and is another method.) Published in three iterations, each over its own prompts with responses of
the policy that the previous one ended with. Here every update is an iteration: it samples responses, and pi_t is the
policy it starts with, so there is no reference to refresh. In the first step of an update s is 0, and the gradient that
of a win rate times log pi; the square shows from the second step on (``passes``, ``minibatches``).

The paper asks a preference model for P_ij. Here it is the Bradley-Terry probability of R_total in the reward's own
unit: of a reward model the standard deviation of the SFT policy's responses; points of rules or a judge are larger and
make every win certain.

Edge cases: a prompt whose totals are all alike, or that has one total only, has no winner and is left out; a missing
total neither wins nor loses. Of equal responses the first one is taken. Losses are 1e4 to 1e5 at the published beta, as
they should be; ``optimizer.clip_norm`` keeps the direction of so long a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Credit, Metrics, Minibatch, OnlineAlgorithm, RolloutBatch
from repo_exp.algorithms.options.sppo import Options
from repo_exp.core.diagnostics import approximate_kl
from repo_exp.core.masks import response_sum
from repo_exp.core.self_play import self_play_loss, self_play_target


class Algorithm(OnlineAlgorithm[Options]):
    """The targets and the squared error."""

    unit = "group"
    aggregation = "sequence_sum"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.group_size = options.group_size

    def credit(self, batch: RolloutBatch) -> Credit:
        """Give every token of the best and the worst response its target; the others are not trained on."""
        target_B, kept_B = self_play_target(
            batch.total_B, batch.group_B, beta=self.options.beta, target=self.options.target
        )
        return Credit(torch.where(batch.mask_BT, target_B[:, None], torch.zeros(())), kept_B=kept_B)

    def policy_loss(self, logp_BT: Tensor, minibatch: Minibatch) -> tuple[Tensor, Metrics]:
        """Return the mean over the step's prompts of the squared error of a pair."""
        log_ratio_B = response_sum(logp_BT - minibatch.old_logp_BT, minibatch.mask_BT)
        # a response has its target, and its weight of 1 / responses of the step, at every token; two are a pair
        target_B, weight_B = minibatch.advantage_BT[:, 0], 2 * minibatch.weight_BT[:, 0]
        loss_B = self_play_loss(log_ratio_B, target_B, target=self.options.target)
        metrics = {
            "policy/approx_kl": approximate_kl(logp_BT, minibatch.old_logp_BT, minibatch.share_BT),
            "policy/margin": (weight_B * target_B.sign() * log_ratio_B.detach()).sum().item(),
        }
        return (weight_B * loss_B).sum(), metrics
