"""GOPO, Group Ordinal Policy Optimization (2026, arXiv 2602.03876): GRPO whose credit is a rank.

    A = 2 - 4 (rank - 1) / (G - 1)        2 for the best of a group, -2 for the worst

and GRPO's loss. How much better a reply is does not count, so an outlier or a reward model that is sure of itself
in the wrong place cannot rule a group. (Another method of the same letters, Goal-Oriented Preference Optimization,
arXiv 2602.15854, is not this one.)

Edge cases: equal totals share their ranks (``ties: averaged``), and a group of equal totals gives no credit. The
released code ranks equal replies by the order in which they were drawn (``ties: published``), which credits chance,
in a group of equal replies with 2 and -2. That is why averaged is the default: with rules or a judge ties are common;
with a reward model they hardly occur, and the two agree. A missing total has no rank and is not counted. Gradients of
small groups are longer than GRPO's: the advantages of a pair have a deviation of 2.8, those of 8 replies 1.4, where
GRPO's is 1.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms import grpo
from repo_exp.algorithms.interface import Rollouts
from repo_exp.core.ordinal import ordinal_advantage


class Algorithm(grpo.Algorithm):
    """GRPO with another credit."""

    def advantage(self, seen: Rollouts) -> Tensor:
        """Return the standing of each reply: (B,)."""
        return ordinal_advantage(seen.total_B, seen.group_B, ties=self.options.ties)
