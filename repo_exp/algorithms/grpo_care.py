"""GRPO-CARE (2025, arXiv 2506.16141): GRPO with a bonus for correct answers that follow from their reasoning.

    p      mean probability of the answer's tokens under a moving average of the policy, at most likelihood_cap
    R      = R_total + bonus * accuracy, where the accuracy is at least average and p at least usual among those
    A      = (R - mean of its group) / (standard deviation of its group + 1e-4)

and GRPO's loss, as published without a KL. What is selected and what is usual is in ``core/consistency.py``.

Published for tasks with a verifier. Ours, where there is none:

* accuracy = sigmoid(R_total), the Bradley-Terry probability to beat a response with a reward of 0. A reward model is
  calibrated so that 0 is the SFT policy's average response; of rules or a judge alone, 0 is their neutral score.
* base reward = R_total, in the place of correct answer plus correct form.
* the answer begins behind the last ``answer_delimiter``; without one the whole response is the answer, and the bonus
  goes to good responses that the policy's past self finds likely.

The average is taken of the adapter's two factors, not of their product: a step differs from one of the product by
keep (1 - keep) (B - B_avg) (A - A_avg). It starts as the SFT policy, and at the published pace, 0.5 % every ten
updates, it still is almost that after some dozens of updates. Probabilities are taken at the sampling temperature.

Edge cases: a response without these words, or with nothing behind them, has no answer: it earns no bonus and does not
count in the usual likelihood, but takes part in its group as any other. A missing total takes no part in anything.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from repo_exp.algorithms.grpo import GroupAlgorithm
from repo_exp.algorithms.interface import AnswerMask, Credit, Follower, RoleLogprobs, RolloutBatch
from repo_exp.algorithms.options.grpo_care import Options
from repo_exp.core.advantage import group_advantage
from repo_exp.core.consistency import answer_likelihood, consistency_bonus

AVERAGE = "average"  # the role that follows the policy


class Algorithm(GroupAlgorithm[Options]):
    """GRPO with a bonus on the totals."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.followers = (Follower(AVERAGE, every=options.average_every, keep=options.average_keep),)
        self.signals = (*self.signals, RoleLogprobs(AVERAGE), AnswerMask(options.answer_delimiter))

    def credit(self, batch: RolloutBatch) -> Credit:
        """Give every token of a response the response's advantage, bonus included."""
        bonus_B = self.bonus(batch)
        credit = super().credit(replace(batch, total_B=batch.total_B + bonus_B))
        return replace(credit, metrics={"credit/consistent": (bonus_B > 0).float().mean().item()})

    def advantage(self, batch: RolloutBatch) -> Tensor:
        """Return the advantage of each response: (B,)."""
        return group_advantage(batch.total_B, batch.group_B, scale="group")

    def bonus(self, batch: RolloutBatch) -> Tensor:
        """Return what each response earns on top of its total: (B,)."""
        o = self.options
        return consistency_bonus(
            batch.total_B.sigmoid(),
            answer_likelihood(batch[RoleLogprobs], batch[AnswerMask], mean=o.likelihood),
            batch.group_B,
            weight=o.bonus,
            accuracy_floor=o.accuracy_floor,
            likelihood_cap=o.likelihood_cap,
            margin=o.margin,
        )
