"""DVPO (2025, arXiv 2502.16944): PPO's clip with an advantage from a value model that was learnt before and is frozen.

    before    Q learns from preference pairs: a chosen reply ends with the reward 1, a rejected one with -1
    A_t       = Q(s_t, a_t), with ``whiten_advantages`` standardised over the batch          ``advantage: paper``
              = GAE over V and -kl_coefficient KL_t, both standardised                      ``advantage: released``
    L         = max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip))  [+ kl_coefficient KL with ``paper``]

Q is read at the token itself, so that it knows the action: an advantage of the state alone would be a baseline and
teach nothing. V is read at the token before, as in PPO. What the released code does (rewards of +-1, the lambda-return,
standardising) is known from reading it, the paper's form (Q drawn to the value one token ahead) from readings by
others; where the paper's KL stands is not known, and ours is in the loss, as in GRPO.

The paper gives Q trajectories of the policy besides (tau), so that one value model serves many policies. The released
trainer has nothing of the kind, and neither has this: Q reads the context and the reply so far.

The reward's sources are asked and written down, and decide which replies have a total at all, but give no credit.
Edge case: the value model never sees the policy's replies, so it cannot follow where they go; only the KL holds them.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts
from repo_exp.algorithms.options.dvpo import Options
from repo_exp.core.diagnostics import surrogate_metrics
from repo_exp.core.frozen_value import released_advantage, static_advantage
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import weighted_sum
from repo_exp.core.policy_loss import clipped_surrogate, probability_ratio


class Algorithm(OnlineAlgorithm):
    """The credit and the loss of DVPO; it asks the value network and never teaches it."""

    needs_value = True
    teaches_value = False

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.value_of = "action" if options.advantage == "paper" else "state"

    def credit(self, seen: Rollouts) -> Credit:
        """Return the advantages of a whole batch; there is no return, as no value learns."""
        o, value_BT, mask_BT = self.options, seen.value_BT, seen.mask_BT
        if o.advantage == "paper":
            return Credit(static_advantage(value_BT, mask_BT, whiten=o.whiten_advantages))
        kl_BT = value_BT.new_zeros(value_BT.shape)
        if o.kl_coefficient > 0:
            kl_BT = kl_per_token(seen.old_logp_BT, seen.reference_logp_BT, estimator=o.kl_estimator)
        how = {"kl_coefficient": o.kl_coefficient, "gamma": o.gamma, "gae_lambda": o.gae_lambda}
        return Credit(released_advantage(value_BT, kl_BT, mask_BT, whiten=o.whiten_advantages, **how))

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the clipped surrogate, and in the paper's form the KL."""
        o, clips = self.options, self.options.clips
        ratio_BT = probability_ratio(logp_BT, part.old_logp_BT)
        loss_BT = clipped_surrogate(ratio_BT, part.advantage_BT, **clips)
        metrics = surrogate_metrics(logp_BT, part.old_logp_BT, ratio_BT, part.advantage_BT, part.share_BT, **clips)
        if part.reference_logp_BT is not None:
            kl_BT = kl_per_token(logp_BT, part.reference_logp_BT, estimator=o.kl_estimator)
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT.detach(), part.share_BT).item()
            if o.advantage == "paper":
                loss_BT = loss_BT + o.kl_coefficient * kl_BT
        return weighted_sum(loss_BT, part.weight_BT), metrics
