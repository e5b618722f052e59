"""GDPO (2026, arXiv 2601.05242): GRPO whose sources are normalised one by one before they are summed.

    z_k = (r_k - mean of its group) / (standard deviation of its group + 1e-4)     for each source k
    A   = the sum of w_k z_k, standardised over the batch

and GRPO's loss. The weights multiply normalised scores, not points. With a ``condition`` every other source counts only
where one of them is good enough, so that what is easy to please does not come first. What ``reward.join`` makes of the
sources is on the record, and decides which replies have a total at all, but gives no credit.

Edge cases: a source without spread in a group adds 0 there; so does a score that is missing, which no statistic counts
(the released code puts 0 in its place before normalising, so that a failed judge looks like a bad grade; here not).
With one source there is nothing to decouple, which is refused at the entrance.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms import grpo
from repo_exp.algorithms.interface import Rollouts
from repo_exp.core.advantage import conditioned, decoupled_advantage


class Algorithm(grpo.Algorithm):
    """GRPO with another credit."""

    def advantage(self, seen: Rollouts) -> Tensor:
        """Return the standing of each reply: (B,)."""
        sources, condition = seen.sources, self.options.condition
        if condition is not None:
            how = {"on": condition.source, "threshold": condition.threshold, "otherwise": condition.otherwise}
            sources = conditioned(sources, seen.group_B, **how)
        return decoupled_advantage(sources, seen.group_B, weights=self.options.weights)
