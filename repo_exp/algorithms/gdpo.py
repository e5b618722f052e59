"""GDPO (2026, arXiv 2601.05242): GRPO whose sources are normalised one by one before they are summed.

    z_k = (r_k - mean of its group) / (standard deviation of its group + 1e-4)     for each source k
    A   = the sum of w_k z_k, standardised over the batch

and GRPO's loss. The weights multiply normalised scores, not points. What ``reward.join`` makes of the sources is on the
record, and decides which replies have a total at all, but gives no credit.

Edge cases: a source without spread in a group adds 0 there; so does a score that is missing, which no statistic counts
(the released code puts 0 in its place before normalising, so that a failed judge looks like a bad grade; here not).
With one source there is nothing to decouple, which is refused at the entrance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from repo_exp.algorithms import grpo
from repo_exp.algorithms.interface import Rollouts
from repo_exp.core.advantage import decoupled_advantage
from repo_exp.errors import Problem

online = True


class Options(grpo.LossOptions):
    """The knobs of GRPO's loss, and weights by source."""

    kind: Literal["gdpo"]
    weights: dict[Literal["model", "judge", "rules"], float] = Field(
        description="of the normalised scores, by source; reward.weights"
    )


def problems(options: Options, config: Any) -> Iterator[Problem]:
    """GDPO normalises sources apart, so it needs two of them."""
    if len(config.reward.sources) < 2:
        yield Problem(
            "algorithm.kind",
            f"gdpo normalises each source by itself, and reward.sources has one: {config.reward.sources[0]}",
            "reward=rm+rf or another with two sources; or algorithm=grpo",
        )


class Algorithm(grpo.Algorithm):
    """GRPO with another credit."""

    def advantage(self, seen: Rollouts) -> Tensor:
        """Return the standing of each reply: (B,)."""
        return decoupled_advantage(seen.sources, seen.group_B, weights=self.options.weights)
