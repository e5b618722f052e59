"""Ask the reward sources, remote ones in parallel with the others, and combine their scores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from repo_exp.errors import RewardError
from repo_exp.rewards.combine.interface import Combiner
from repo_exp.rewards.interface import RewardSource
from repo_exp.types import RewardBreakdown, Score, SourceInfo, Trajectory


class Scorer:
    """Scores trajectories.

    Args:
        sources: what is asked, in the order of tables and records. A source that the combiner does not know is measured
            and recorded, and does not change the total.
        combiner: the scores of all trajectories -> totals.

    Raises:
        RewardError: there is no source.
    """

    def __init__(self, sources: Sequence[RewardSource[Any]], combiner: Combiner[Any]) -> None:
        if not sources:
            raise RewardError("A reward needs at least one source: see reward.sources.")
        self.sources, self.combiner = list(sources), combiner

    @property
    def infos(self) -> dict[str, SourceInfo]:
        """How each source is named in metrics and reports."""
        return {source.name: source.info for source in self.sources}

    def begin(self, trajectory: Trajectory) -> None:
        """Tell remote sources about a trajectory as soon as it is finished, while others are still sampled."""
        for source in self.sources:
            if source.remote:
                source.begin(trajectory)

    def score(self, trajectories: Sequence[Trajectory]) -> list[RewardBreakdown]:
        """Return the scores and the total of each trajectory, in the same order.

        Remote sources wait in threads of their own while the others work in this one.

        Raises:
            ValueError: a source did not return one score for each trajectory.
        """
        if not trajectories:
            return []
        scores: dict[str, list[Score]] = {}
        remote = [source for source in self.sources if source.remote]
        pool = ThreadPoolExecutor(max(len(remote), 1))
        try:
            pending = {source.name: pool.submit(source.score, trajectories) for source in remote}
            for source in self.sources:
                if not source.remote:
                    scores[source.name] = source.score(trajectories)
            scores |= {name: future.result() for name, future in pending.items()}
        finally:
            pool.shutdown(wait=False)  # after an error or a stop, do not wait for a source that hangs
        for name, each in scores.items():
            if len(each) != len(trajectories):
                raise ValueError(f"source '{name}' gave {len(each)} scores for {len(trajectories)} trajectories")
        rows = [{source.name: scores[source.name][i] for source in self.sources} for i in range(len(trajectories))]
        combined = self.combiner(rows, [trajectory.prompt.id for trajectory in trajectories])
        return [
            RewardBreakdown(row, each.enhancement, each.total, each.clipped, each.missing_sources)
            for row, each in zip(rows, combined, strict=True)
        ]
