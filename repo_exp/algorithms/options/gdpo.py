"""The options of GDPO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from repo_exp.algorithms.options.base import CreditFrom
from repo_exp.algorithms.options.grpo import LossOptions
from repo_exp.core.choices import Otherwise
from repo_exp.errors import Problem


class Condition(BaseModel):
    """What has to be good enough before other sources count."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    source: str = Field(description="the source whose score is checked")
    threshold: Annotated[float, Field(allow_inf_nan=False)] = Field(
        description="in the source's own unit: points, or standard deviations of the reward model"
    )
    otherwise: Otherwise = Field(
        description="the score of the other sources then: zero, as published, or the lowest of the group"
    )


class Options(LossOptions):
    """The options of GRPO's loss, weights by source, and a condition."""

    credit_from: ClassVar[CreditFrom] = "sources"

    kind: Literal["gdpo"]
    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        description="weights of the normalised scores by source; reward.weights by default"
    )
    condition: Condition | None = Field(
        description="{source, threshold, otherwise}: where the source is lower, others do not count; null is none"
    )

    def problems(self, config: Any) -> Iterator[Problem]:
        """GDPO normalises sources apart, so it needs two of them, and ignores the priority of a combiner."""
        sources = list(config.reward.sources)
        if len(sources) < 2:
            yield Problem(
                "algorithm.kind",
                f"gdpo normalises each source by itself, and reward.sources has one: {', '.join(sources)}",
                "reward=rm+rf or another with two sources; or algorithm=grpo",
            )
        elif self.condition is not None and self.condition.source not in sources:
            yield Problem(
                "algorithm.condition.source",
                f"'{self.condition.source}' is not a source of the reward",
                f"one of {', '.join(sources)}",
            )
        if config.reward.combine in ("gated", "lexicographic"):
            yield Problem(
                "reward.combine",
                f"gdpo normalises the sources themselves and would ignore the priority of {config.reward.combine}",
                f"leave it out, and see algorithm.condition; or algorithm=grpo reward.combine={config.reward.combine}",
            )
