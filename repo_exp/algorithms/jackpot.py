"""Jackpot (2026, arXiv 2602.06107): samples of an older policy, corrected by rejection and weights.

An older copy of the policy, q, samples (``refresh_every`` updates old at most). Before each optimizer step, with p_new
the policy now, p_ref the policy before the update and the formulas of ``core/rejection.py``, every token

    is kept with probability    a = min(1, p_new / (lam q))
    and then has the weight     min(p_new / q~, c1) min(p_ref / p_new, c2),  p_new / q~ = Z max(lam, p_new / q)

in GRPO's loss, whose ratio is p_new / p_ref. A rejected token leaves the loss, its response stays; nothing is sampled
again, and a token's share of the loss is one over all tokens, the rejected ones included.

``support: top_k`` sums Z over the likeliest ``top_k`` tokens of both (20 as published) and multiplies it with kappa,
the share of the step's tokens that was kept over the mean Z; ``exact`` sums over the vocabulary and has no kappa.

lam, c1 and c2 are not published; 1, 3 and 2 are ours, and so is a copy every 4 updates. The paper also trains a smaller
model that samples along with the policy; here the sampling model is an older copy of the policy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms.grpo import GRPO
from repo_exp.algorithms.interface import ComparedTokens, Comparison, Follower, Metrics
from repo_exp.algorithms.options.jackpot import Options
from repo_exp.core.masks import masked_mean
from repo_exp.core.rejection import acceptance, kept_weight, overlap, overlap_calibration, rejection_factor

COPY = "rollout"  # the role that samples


class Algorithm(GRPO[Options]):
    """GRPO on tokens of the policy's past that the policy itself might have sampled."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.followers = (Follower(COPY, every=options.refresh_every, samples=True),)
        self.signals = (*self.signals, Comparison(COPY, self.overlap))

    def overlap(self, logp_MV: Tensor, copy_logp_MV: Tensor) -> Tensor:
        """Return Z of each token: (M,)."""
        o = self.options
        return overlap(logp_MV, copy_logp_MV, lam=o.lam, top=o.top_k if o.support == "top_k" else None)

    def token_weights(self, tokens: ComparedTokens) -> tuple[Tensor, Metrics]:
        """Return the weight of kept tokens, 0 for the others: (B, T)."""
        o, mask_BT, z_BT = self.options, tokens.mask_BT, tokens.compared_BT
        kept_BT = tokens.uniform_BT < acceptance(tokens.logp_BT, tokens.role_logp_BT, lam=o.lam)
        kept, expected = masked_mean(kept_BT.to(z_BT.dtype), mask_BT), masked_mean(z_BT, mask_BT)
        if o.support == "top_k":
            z_BT = overlap_calibration(kept, expected) * z_BT
        weight_BT = kept_weight(tokens.logp_BT, tokens.role_logp_BT, z_BT, lam=o.lam)
        weight_BT = rejection_factor(weight_BT, (tokens.old_logp_BT - tokens.logp_BT).exp(), c1=o.c1, c2=o.c2)
        weight_BT = torch.where(kept_BT & mask_BT, weight_BT, torch.zeros_like(weight_BT))
        return weight_BT, {
            "rejection/kept": kept.item(),
            "rejection/overlap": expected.item(),
            "rejection/weight": masked_mean(weight_BT, mask_BT).item(),
        }
