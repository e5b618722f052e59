"""GDPO (2026, arXiv 2601.05242): GRPO with each reward source normalised separately before they are summed.

    z_k = (r_k - mean of its group) / (standard deviation of its group + 1e-4)     for each source k
    A   = the sum of w_k z_k, standardised over the batch

and GRPO's loss. The weights multiply normalised scores, not points. With a ``condition`` every other source counts only
where one of them is good enough, so that an easy source is not pursued first. The total that the sources are combined
to is recorded, and decides which responses have a total at all, but is not part of the advantage.

Edge cases: a source whose scores are equal in a group adds 0 there; so does a missing score, which no statistic counts
(the released code puts 0 in its place before normalising, so that a failed judge looks like a bad grade; here not).
With one source there is nothing to decouple, which the configuration refuses.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms.grpo import GroupAlgorithm
from repo_exp.algorithms.interface import RolloutBatch
from repo_exp.algorithms.options.gdpo import Options
from repo_exp.core.advantage import conditioned, decoupled_advantage


class Algorithm(GroupAlgorithm[Options]):
    """GRPO's loss with an advantage of decoupled sources."""

    def advantage(self, batch: RolloutBatch) -> Tensor:
        """Return the advantage of each response: (B,)."""
        scores, condition = batch.scores, self.options.condition
        if condition is not None:
            scores = conditioned(
                scores,
                batch.group_B,
                on=condition.source,
                threshold=condition.threshold,
                otherwise=condition.otherwise,
            )
        return decoupled_advantage(scores, batch.group_B, weights=self.options.weights)
