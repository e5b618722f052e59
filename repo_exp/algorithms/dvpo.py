"""DVPO (2025, arXiv 2502.16944): PPO's clip with advantages from a value model that is trained beforehand and frozen.

    before    Q is trained on preference pairs: a chosen response ends with the reward 1, a rejected one with -1
    A_t       = Q(s_t, a_t), with ``whiten_advantages`` standardised over the batch          ``advantage: paper``
              = GAE over V and -kl_coefficient KL_t, both standardised                      ``advantage: released``
    L         = max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip))  [+ kl_coefficient KL with ``paper``]

Q is read at the token itself, so that it depends on the action: a value of the state alone would be a baseline, without
information about the action. V is read at the token before, as in PPO. What the released code does (rewards of +-1, the
lambda-return, standardising) is known from reading it, the paper's form (Q regressed on the value one token ahead) from
readings by others; where the paper has the KL is not known, and ours is in the loss, as in GRPO.

The paper also gives Q trajectories of the policy (tau), so that one value model serves many policies. The released
trainer has nothing of the kind, and neither has this: Q reads the prompt and the response so far.

The reward's sources are asked and recorded, and decide which responses have a total at all, but are not part of the
advantage. Edge case: the value model never sees the policy's responses, so it cannot follow the policy as it moves;
only the KL holds the policy back.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms.clipped import ClippedAlgorithm
from repo_exp.algorithms.interface import (
    Credit,
    Metrics,
    Minibatch,
    OldLogprobs,
    ReferenceLogprobs,
    RolloutBatch,
    Values,
)
from repo_exp.algorithms.options.dvpo import Options
from repo_exp.core.frozen_value import released_advantage, static_advantage
from repo_exp.core.kl import kl_per_token
from repo_exp.core.masks import weighted_sum


class Algorithm(ClippedAlgorithm[Options]):
    """The credit and the loss of DVPO, with a value network that is never trained."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        paper = options.advantage == "paper"
        self.signals = (Values(train=False, of="action" if paper else "state"), *self.signals)
        self.kl_in_loss = paper  # the released code has it in the reward

    def credit(self, batch: RolloutBatch) -> Credit:
        """Return the advantages of a whole batch; there are no returns, as no value network is trained."""
        o, value_BT, mask_BT = self.options, batch[Values], batch.mask_BT
        if o.advantage == "paper":
            return Credit(static_advantage(value_BT, mask_BT, whiten=o.whiten_advantages))
        kl_BT = value_BT.new_zeros(value_BT.shape)
        if o.kl_coefficient > 0:
            kl_BT = kl_per_token(batch[OldLogprobs], batch[ReferenceLogprobs], estimator=o.kl_estimator)
        advantage_BT = released_advantage(
            value_BT,
            kl_BT,
            mask_BT,
            kl_coefficient=o.kl_coefficient,
            gamma=o.gamma,
            gae_lambda=o.gae_lambda,
            whiten=o.whiten_advantages,
        )
        return Credit(advantage_BT)

    def policy_loss(self, logp_BT: Tensor, minibatch: Minibatch) -> tuple[Tensor, Metrics]:
        """Return the clipped surrogate, and in the paper's form the KL, which is reported in either form."""
        loss, metrics = super().policy_loss(logp_BT, minibatch)
        if not self.kl_in_loss and ReferenceLogprobs in minibatch:
            kl_BT = self.kl(logp_BT.detach(), minibatch)
            metrics["policy/kl_to_reference"] = weighted_sum(kl_BT, minibatch.share_BT).item()
        return loss, metrics
