"""GDPO (2026, arXiv 2601.05242): GRPO whose sources are normalised one by one before they are summed.

    z_k = (r_k - mean of its group) / (standard deviation of its group + 1e-4)     for each source k
    A   = the sum of w_k z_k, standardised over the batch

and GRPO's loss. The weights multiply normalised scores, not points. With a ``condition`` every other source counts only
where one of them is good enough, so that what is easy to please does not come first. What ``reward.join`` makes of the
sources is on the record, and decides which replies have a total at all, but gives no credit.

Edge cases: a source without spread in a group adds 0 there; so does a score that is missing, which no statistic counts
(the released code puts 0 in its place before normalising, so that a failed judge looks like a bad grade; here not).
With one source there is nothing to decouple, which is refused at the entrance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from repo_exp.algorithms import grpo
from repo_exp.algorithms.interface import Rollouts
from repo_exp.core.advantage import Otherwise, conditioned, decoupled_advantage
from repo_exp.errors import Problem

online = True
credit_from = "sources"


Source = Literal["model", "judge", "rules"]


class Condition(BaseModel):
    """What has to be good enough before other sources count."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    source: Source
    threshold: Annotated[float, Field(allow_inf_nan=False)] = Field(
        description="in the source's own unit: points, or spreads of the reward model"
    )
    otherwise: Otherwise = Field(
        description="what another source then counts: zero, as published, or its lowest score in the group"
    )


class Options(grpo.LossOptions):
    """The knobs of GRPO's loss, weights by source, and a condition."""

    kind: Literal["gdpo"]
    weights: dict[Source, float] = Field(description="of the normalised scores, by source; reward.weights")
    condition: Condition | None = Field(
        description="{source, threshold, otherwise}: where the source is lower, others do not count; null is none"
    )


def problems(options: Options, config: Any) -> Iterator[Problem]:
    """GDPO normalises sources apart, so it needs two of them, and follows no join's priority."""
    if len(config.reward.sources) < 2:
        yield Problem(
            "algorithm.kind",
            f"gdpo normalises each source by itself, and reward.sources has one: {config.reward.sources[0]}",
            "reward=rm+rf or another with two sources; or algorithm=grpo",
        )
    elif options.condition is not None and options.condition.source not in config.reward.sources:
        yield Problem(
            "algorithm.condition.source",
            f"'{options.condition.source}' is not asked",
            f"one of {', '.join(config.reward.sources)}",
        )
    if config.reward.join in ("gated", "lexicographic"):
        yield Problem(
            "reward.join",
            f"gdpo gives credit to the sources themselves and would not follow the priority of {config.reward.join}",
            f"leave it out, and see algorithm.condition; or algorithm=grpo reward.join={config.reward.join}",
        )


class Algorithm(grpo.Algorithm):
    """GRPO with another credit."""

    def advantage(self, seen: Rollouts) -> Tensor:
        """Return the standing of each reply: (B,)."""
        sources, condition = seen.sources, self.options.condition
        if condition is not None:
            how = {"on": condition.source, "threshold": condition.threshold, "otherwise": condition.otherwise}
            sources = conditioned(sources, seen.group_B, **how)
        return decoupled_advantage(sources, seen.group_B, weights=self.options.weights)
