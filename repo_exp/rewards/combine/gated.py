"""R = the weighted sum where the gate's source reaches a threshold, otherwise a fixed value (after GDPO, 2601.05242).

Weights alone set no priority where one source is easier to please than another; a gate does. Whether a gate without a
score is open is unknown, so there is no total. Behind a closed gate the other sources do not matter, missing or not.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from repo_exp.core.arrays import Array, Flags, np
from repo_exp.rewards.combine import interface, weighted_sum


class Gate(BaseModel):
    """Where the weighted sum counts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    source: str = Field(description="the source whose score opens the gate")
    threshold: interface.Finite = Field(description="the gate is open at this score or above")
    otherwise: interface.Finite = Field(description="the total if the gate is closed")


class Options(weighted_sum.Options):
    """Those of the weighted sum, and the gate."""

    gate: Gate


class Combiner(interface.Combiner[Options]):
    """A weighted sum behind a gate."""

    def total(self, batch: interface.Batch) -> Array:
        """Return R."""
        summed_B = weighted_sum.weighted_total(batch, self.units, self.options)
        total_B = np.where(self._closed(batch), self.options.gate.otherwise, summed_B)
        return np.where(np.isnan(self._key(batch)), np.nan, total_B)

    def missing(self, batch: interface.Batch) -> list[tuple[str, ...]]:
        """Behind a closed gate, none."""
        return [() if closed else batch.missing(i, self.counted) for i, closed in enumerate(self._closed(batch))]

    def _key(self, batch: interface.Batch) -> Array:
        return batch.scores.get(self.options.gate.source, np.full(batch.size, np.nan))

    def _closed(self, batch: interface.Batch) -> Flags:
        return self._key(batch) < self.options.gate.threshold
