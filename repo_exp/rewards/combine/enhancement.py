"""R = R_base + |R_base| E / n: points scale the reward model's score (REPO, arXiv 2510.04214).

    R_base   the mean of the sources of unit "score"
    E        clip(sum of the sources of unit "points", -n, n)

Without a source of unit "score", R = E / n. A source of points without a score counts as 0 points. There is no total
where a source of unit "score" has no score, nor, without such sources, where no source has one.
"""

from __future__ import annotations

from repo_exp.core.arrays import Array, np
from repo_exp.core.enhancement import enhance, enhancement
from repo_exp.rewards.combine import interface


class Options(interface.CombineOptions):
    """The bound n."""


class Combiner(interface.Combiner[Options]):
    """The formula of ``core/enhancement.py`` on all sources."""

    def total(self, batch: interface.Batch) -> Array:
        """Return R."""
        n = self.options.n
        e_B = enhancement([batch.scores[name] for name in self.modulators], size=batch.size, n=n)
        if self.base:
            return enhance(self.mean_of_base(batch), e_B, n=n)
        return np.where(self.without_any_score(batch, self.modulators), np.nan, e_B / n)
