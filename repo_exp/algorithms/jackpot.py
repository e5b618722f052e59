"""Jackpot (2026, arXiv 2602.06107): tokens of a policy that stayed behind, rejected and weighed into the policy's own.

An older copy of the policy, q, answers (``refresh_every`` updates old at most). Before each optimiser step, with p_new
the policy now, p_ref the policy before the update and the formulas of ``core/rejection.py``, every token

    is kept with the chance     a = min(1, p_new / (lam q))
    and then counts             min(p_new / q~, c1) min(p_ref / p_new, c2),  p_new / q~ = Z max(lam, p_new / q)

times in GRPO's loss, whose ratio is p_new / p_ref. A token that is rejected leaves the loss and not the reply; nothing
is sampled anew, and a token's share of the loss is one over all tokens, the rejected ones included.

``support: top_k`` sums Z over the likeliest ``top_k`` tokens of both (20 as published) and multiplies it with kappa,
the share of the step's tokens that was kept over the mean Z; ``exact`` sums over the vocabulary and has no kappa.

lam, c1 and c2 are not published; 1, 3 and 2 are ours, and so is a copy every 4 updates. The paper also trains a
smaller model that samples along with the policy; here the one that samples is the policy's own past.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.algorithms import grpo
from repo_exp.algorithms.interface import Comparison
from repo_exp.algorithms.options.jackpot import Options
from repo_exp.core.masks import masked_mean
from repo_exp.core.rejection import acceptance, kept_weight, overlap, overlap_calibration, rejection_factor


class Algorithm(grpo.Algorithm):
    """GRPO on what the policy's past said and the policy might have said."""

    samples_from = "rollout"
    compares = True

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.refresh_every = options.refresh_every

    def compare(self, logp_MV: Tensor, sampler_logp_MV: Tensor) -> Tensor:
        """Return Z of each token: (M,)."""
        o = self.options
        return overlap(logp_MV, sampler_logp_MV, lam=o.lam, top=o.top_k if o.support == "top_k" else None)

    def factor(self, told: Comparison) -> tuple[Tensor, dict[str, float]]:
        """Return the weight of kept tokens, 0 for the others: (B, T)."""
        o, mask_BT, z_BT = self.options, told.mask_BT, told.said_BT
        kept_BT = told.uniform_BT < acceptance(told.logp_BT, told.sampler_logp_BT, lam=o.lam)
        kept, expected = masked_mean(kept_BT.to(z_BT.dtype), mask_BT), masked_mean(z_BT, mask_BT)
        if o.support == "top_k":
            z_BT = overlap_calibration(kept, expected) * z_BT
        weight_BT = kept_weight(told.logp_BT, told.sampler_logp_BT, z_BT, lam=o.lam)
        factor_BT = rejection_factor(weight_BT, (told.old_logp_BT - told.logp_BT).exp(), c1=o.c1, c2=o.c2)
        factor_BT = torch.where(kept_BT & mask_BT, factor_BT, torch.zeros_like(factor_BT))
        return factor_BT, {
            "rejection/kept": kept.item(),
            "rejection/overlap": expected.item(),
            "rejection/weight": masked_mean(factor_BT, mask_BT).item(),
        }
