"""R = sum of w_k r_k, where r_k is a score, or points / n, which have about the same scale.

The sum of the scores that exist would rate a trajectory higher or lower because a judge timed out, so a missing score
leaves no total. A source of weight 0 has no effect, missing or not.
"""

from __future__ import annotations

from collections.abc import Mapping

from repo_exp.core.arrays import Array, np
from repo_exp.rewards.combine import interface
from repo_exp.types import Unit


class Options(interface.CombineOptions):
    """The bound n, and a weight for each source: 1 where none is given."""

    weights: dict[str, interface.Finite]


def weighted_total(batch: interface.Batch, units: Mapping[str, Unit], options: Options) -> Array:
    """Return the weighted sum of all sources: (B,)."""
    total_B = np.zeros(batch.size)
    for name, unit in units.items():
        if weight := options.weights.get(name, 1.0):
            total_B = total_B + weight * (batch.scores[name] / (1.0 if unit == "score" else options.n))
    return total_B


class Combiner(interface.Combiner[Options]):
    """The weighted sum."""

    @property
    def counted(self) -> tuple[str, ...]:
        """The sources whose weight is not 0."""
        return tuple(name for name in self.units if self.options.weights.get(name, 1.0))

    def total(self, batch: interface.Batch) -> Array:
        """Return R."""
        return weighted_total(batch, self.units, self.options)
