"""The interface of a combiner: it computes a total for each trajectory of a round from the scores.   B: trajectories.

For every combiner: **no advantage ever comes from a missing score.** Where a missing score has a
neutral value (E = 0, a z-score of 0, a comparison that decides nothing) it takes that value, and the trajectory records
the sources that its total does without (``missing_sources``). Where it has none there is no total (NaN), and the
trajectory is not trained on. Totals that do without different sources are not comparable, so methods that
compare trajectories compare only those that miss the same sources.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from repo_exp.core.arrays import Array, Flags, np
from repo_exp.core.enhancement import enhancement, sum_of_points
from repo_exp.types import Score, Unit

Finite = Annotated[float, Field(allow_inf_nan=False)]
Scores = Mapping[str, Score]
Groups = Sequence[Hashable]


class Combined(NamedTuple):
    """The result of combining one trajectory's scores.

    Attributes:
        total: NaN where there is none.
        enhancement: E in points, kept with the trajectory whatever the combiner does with it.
        clipped: the points that the clip removed from the sum.
        missing_sources: sources that gave no score, so that the total does without them.
    """

    total: float
    enhancement: float
    clipped: float
    missing_sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """The scores of a round.

    Attributes:
        scores: source -> (B,), NaN where there is no score.
        groups: (B,) equal for trajectories of the same prompt.
    """

    scores: Mapping[str, Array]
    groups: Groups

    @property
    def size(self) -> int:
        """B."""
        return len(self.groups)

    def missing(self, i: int, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of these sources have no score for trajectory i, sorted."""
        return tuple(sorted(name for name in names if np.isnan(self.scores[name][i])))


class CombineOptions(BaseModel):
    """The options of a combiner: keys of ``reward``, or of ``reward.options`` where ``reward`` has no such key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    n: Annotated[float, Field(gt=0, allow_inf_nan=False)]


O = TypeVar("O", bound=CombineOptions)  # noqa: E741


class Combiner(Generic[O]):
    """Combines the scores into one number. A file of this folder has one, and the class of its ``options``.

    Args:
        options: typed by the file's ``Options``.
        units: source -> unit, of the sources that are combined, in the order of the configuration.
    """

    needs_base: ClassVar[bool] = False  # does it need a source of unit "score"?

    def __init__(self, options: O, units: Mapping[str, Unit]) -> None:
        self.options, self.units = options, dict(units)
        self.base = tuple(name for name, unit in units.items() if unit == "score")
        self.modulators = tuple(name for name, unit in units.items() if unit == "points")

    @property
    def counted(self) -> tuple[str, ...]:
        """The sources that can change a total; the others are not used in training."""
        return tuple(self.units)

    def total(self, batch: Batch) -> Array:
        """Return the total of each trajectory: (B,), NaN where there is none."""
        raise NotImplementedError

    def missing(self, batch: Batch) -> list[tuple[str, ...]]:
        """Return the sources that each total does without because they gave no score."""
        return [batch.missing(i, self.counted) for i in range(batch.size)]

    def __call__(self, scores: Sequence[Scores], groups: Groups) -> list[Combined]:
        """Combine the scores of each trajectory.

        Args:
            scores: by trajectory, source -> score; every one has all sources of ``units``.
            groups: by trajectory, equal for the same prompt.
        """
        by_source = {name: np.array([each[name].value for each in scores], dtype=np.float64) for name in self.units}
        batch, points = Batch(by_source, groups), [by_source[name] for name in self.modulators]
        e_B = enhancement(points, size=batch.size, n=self.options.n)
        clipped_B = np.abs(sum_of_points(points, size=batch.size) - e_B)
        columns = (self.total(batch).tolist(), e_B.tolist(), clipped_B.tolist(), self.missing(batch))
        return [Combined(*row) for row in zip(*columns, strict=True)]

    def mean_of_base(self, batch: Batch) -> Array:
        """Return the mean of the sources of unit "score": (B,), NaN where one of them is missing or there is none."""
        if not self.base:
            return np.full(batch.size, np.nan)
        sum_B = batch.scores[self.base[0]]
        for name in self.base[1:]:
            sum_B = sum_B + batch.scores[name]
        return sum_B / len(self.base)

    def without_any_score(self, batch: Batch, names: Sequence[str]) -> Flags:
        """Return which trajectories have no score of any of these sources: (B,)."""
        return np.all([np.isnan(batch.scores[name]) for name in names], axis=0) if names else np.ones(batch.size, bool)
