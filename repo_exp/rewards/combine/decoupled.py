"""R = sum of w_k z_k, where z_k is source k normalised within the prompt's group (the first step of GDPO, 2601.05242).

Every source then has the same unit, whatever its points are. A missing score gives a z of 0 and counts in no statistic.
A source of weight 0 has no effect.
"""

from __future__ import annotations

from repo_exp.core import comparison
from repo_exp.core.arrays import Array, np
from repo_exp.rewards.combine import interface


class Options(interface.CombineOptions):
    """A weight for each source: 1 where none is given."""

    weights: dict[str, interface.Finite]


class Combiner(interface.Combiner[Options]):
    """Normalised sources, weighted; over the round where a prompt has a single trajectory."""

    @property
    def counted(self) -> tuple[str, ...]:
        """The sources whose weight is not 0."""
        return tuple(name for name in self.units if self.options.weights.get(name, 1.0))

    def total(self, batch: interface.Batch) -> Array:
        """Return R."""
        total_B = np.zeros(batch.size)
        for members in comparison.comparison_groups(batch.groups):
            for name in self.counted:
                z_G = np.array(comparison.z_scores(batch.scores[name][members].tolist()))
                total_B[members] += self.options.weights.get(name, 1.0) * z_G
        return np.where(self.without_any_score(batch, self.counted), np.nan, total_B)
