"""R = R_base: the mean of the sources of unit "score", such as a reward model. Points have no effect."""

from __future__ import annotations

from repo_exp.core.arrays import Array
from repo_exp.rewards.combine import interface


class Options(interface.CombineOptions):
    """None of its own: n bounds the enhancement that is recorded."""


class Combiner(interface.Combiner[Options]):
    """The reward model alone."""

    needs_base = True

    @property
    def counted(self) -> tuple[str, ...]:
        """The sources of unit "score"."""
        return self.base

    def total(self, batch: interface.Batch) -> Array:
        """Return R."""
        return self.mean_of_base(batch)
