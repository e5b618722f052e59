"""GRPO-CARE (2025, arXiv 2506.16141): GRPO with a bonus for right answers that follow from their reasoning.

    p      mean probability of the answer's tokens under a slow-moving average of the policy, at most likelihood_cap
    R      = R_total + bonus * accuracy, where the accuracy is at least average and p at least usual among those
    A      = (R - mean of its group) / (standard deviation of its group + 1e-4)

and GRPO's loss, as published without a KL. What is selected and what is usual is in ``core/consistency.py``.

Published for tasks with a verifier. Ours, where there is none:

* accuracy = sigmoid(R_total), the Bradley-Terry chance to beat a reply worth 0. A reward model is calibrated so that
  0 is the SFT policy's average reply; of rules or a judge alone, 0 is what they say where they have nothing to say.
* base reward = R_total, in the place of right answer plus right form.
* the answer begins behind the last ``answer_after``; without one the whole reply is the answer, and the bonus
  goes to good replies that the policy's past self finds likely.

The average is taken of the adapter's two factors, not of their product: a step differs from one of the product by
keep (1 - keep) (B - B_avg) (A - A_avg). It starts as the SFT policy, and at the published pace, 0.5 % every ten
updates, it still is almost that after some dozens of updates. Probabilities are taken at the sampling temperature.

Edge cases: a reply without the words, or with nothing behind them, has no answer: it earns no bonus and says nothing
of what is usual, but takes part in its group as any other. A missing total takes no part in anything.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from repo_exp.algorithms import grpo
from repo_exp.algorithms.interface import Averaging, Credit, Rollouts
from repo_exp.algorithms.options.grpo_care import Options
from repo_exp.core.advantage import group_advantage
from repo_exp.core.consistency import answer_likelihood, consistency_bonus


class Algorithm(grpo.Algorithm):
    """GRPO with a bonus on the totals."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.averaging = Averaging(options.average_keep, options.average_every)
        self.answer_after = options.answer_after

    def credit(self, seen: Rollouts) -> Credit:
        """Give every token of a reply the reply's standing in its group, bonus included."""
        bonus_B = self.bonus(seen)
        credit = super().credit(replace(seen, total_B=seen.total_B + bonus_B))
        return replace(credit, metrics={"credit/consistent": (bonus_B > 0).float().mean().item()})

    def advantage(self, seen: Rollouts) -> Tensor:
        """Return the standing of each reply: (B,)."""
        return group_advantage(seen.total_B, seen.group_B, scale="group")

    def bonus(self, seen: Rollouts) -> Tensor:
        """Return what each reply earns besides its total: (B,)."""
        o = self.options
        return consistency_bonus(
            seen.total_B.sigmoid(),
            answer_likelihood(seen.average_logp_BT, seen.answer_BT, mean=o.likelihood),
            seen.group_B,
            weight=o.bonus,
            accuracy_floor=o.accuracy_floor,
            likelihood_cap=o.likelihood_cap,
            margin=o.margin,
        )
