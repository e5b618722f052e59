"""The interface of a reward source: one score per trajectory, and no exception where a trajectory cannot be scored.

A file of ``rewards/sources/`` is a kind of source: a class ``Source``, and a class ``Options`` that types its entry in
``reward.sources``. ``docs/rewards.md`` shows how to add one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from repo_exp.rewards.declared import fingerprint
from repo_exp.types import Score, SourceInfo, Trajectory, Unit


class SourceOptions(BaseModel):
    """An entry of ``reward.sources``. Unlike other sections it has defaults: an entry is written by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)
    kind: str = Field(description="a file of repo_exp/rewards/sources")


O = TypeVar("O", bound=SourceOptions)  # noqa: E741


class RewardSource(Generic[O]):
    """Scores trajectories.

    Attributes:
        unit: "score", centred so that its sign means better or worse than usual, or "points", which add up and are
            bounded by ``reward.n``.
        remote: does it wait for another machine, so that other work can continue meanwhile?
        parts: the components of a score: "violations" (of rules), "items" (of a rubric), or "" for neither.
        label: its name in reports.
        needs: "" for a source that ``Source(name, options)`` builds; "reward_model" or "judge" where a model is trained
            for it (``stages/reward_inputs.py``).
    """

    unit: ClassVar[Unit] = "points"
    remote: ClassVar[bool] = False
    parts: ClassVar[Literal["", "violations", "items"]] = ""
    label: ClassVar[str] = ""

    def __init__(self, name: str, options: O) -> None:
        self.name, self.options = name, options

    @property
    def fingerprint(self) -> str:
        """A digest of everything that can change a score, but for trained weights and code."""
        return fingerprint(self.options.model_dump(mode="json"))

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of all components that a score can have, sorted."""
        return ()

    @property
    def info(self) -> SourceInfo:
        """How metrics, tables and reports name this source."""
        return describe(type(self), self.name, self.options.kind, self.part_names)

    def begin(self, trajectory: Trajectory) -> None:
        """Announce a trajectory that will be scored later; a remote source may send its request now.

        The score must not depend on this call.
        """

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score for each trajectory, in order; ``Score.none`` with a short reason where there is none."""
        raise NotImplementedError


_SYMBOLS = {"model": "R_model", "judge": "E_judge", "rules": "E_func"}  # as the paper writes them


def describe(source: type[RewardSource[Any]], name: str, kind: str, part_names: Sequence[str] = ()) -> SourceInfo:
    """Return how a source of this class and name appears in metrics, tables and reports."""
    own_label = name in _SYMBOLS or name == kind
    label = source.label or kind.replace("_", " ")
    symbol = _SYMBOLS.get(name, f"{'R' if source.unit == 'score' else 'E'}_{name}")
    return SourceInfo(
        name, kind, source.unit, label if own_label else f"{label} {name}", symbol, source.parts, tuple(part_names)
    )
