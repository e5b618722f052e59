"""GOPO, Group Ordinal Policy Optimization (2026, arXiv 2602.03876): GRPO with ranks for advantages.

    A = 2 - 4 (rank - 1) / (G - 1)        2 for the best of a group, -2 for the worst

and GRPO's loss. How much better a response is does not count, so an outlier, or a reward model that is wrongly
confident, cannot dominate a group. (Goal-Oriented Preference Optimization, arXiv 2602.15854, has the same letters and
is another method.)

Edge cases: equal totals share their ranks (``ties: averaged``), so a group of equal totals has an advantage of zero.
The released code ranks equal responses by the order in which they were drawn (``ties: published``), which credits
chance: in a group of equal responses with 2 and -2. That is why averaged is the default: with rules or a judge ties are
common; with a reward model they hardly occur, and the two agree. A missing total has no rank and is not counted.
Gradients of small groups are larger than GRPO's: the advantages of a pair have a deviation of 2.8, those of 8 responses
1.4, where GRPO's is 1.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms.grpo import GroupAlgorithm
from repo_exp.algorithms.interface import RolloutBatch
from repo_exp.algorithms.options.gopo import Options
from repo_exp.core.ordinal import ordinal_advantage


class Algorithm(GroupAlgorithm[Options]):
    """GRPO's loss with an advantage by rank."""

    def advantage(self, batch: RolloutBatch) -> Tensor:
        """Return the advantage of each response: (B,)."""
        return ordinal_advantage(batch.total_B, batch.group_B, ties=self.options.ties)
