"""R = share of the other trajectories that it beats - share that beats it, in [-1, 1]: sources by importance.

The first source of ``reward.order`` in which two trajectories of the same prompt differ by more than its tolerance
decides between them; later ones are ignored. A source without a score for one of the two decides nothing.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from repo_exp.core import comparison
from repo_exp.core.arrays import Array, np
from repo_exp.rewards.combine import interface


class Options(interface.CombineOptions):
    """The order of importance, and a tolerance for each source: 0 where none is given."""

    order: list[str]
    tolerance: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


class Combiner(interface.Combiner[Options]):
    """Pairwise comparisons within the group; within the round where a prompt has a single trajectory."""

    @property
    def counted(self) -> tuple[str, ...]:
        """The sources in the order of importance."""
        return tuple(name for name in self.options.order if name in self.units)

    def total(self, batch: interface.Batch) -> Array:
        """Return R."""
        total_B = np.zeros(batch.size)
        tolerances = [self.options.tolerance.get(name, 0.0) for name in self.counted]
        for members in comparison.comparison_groups(batch.groups):
            scores = [batch.scores[name][members].tolist() for name in self.counted]
            total_B[members] = comparison.lexicographic(scores, tolerance_K=tolerances)
        return np.where(self.without_any_score(batch, self.counted), np.nan, total_B)
