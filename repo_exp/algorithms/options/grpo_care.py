"""The options of GRPO-CARE."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from repo_exp.algorithms.options.grpo import LossOptions
from repo_exp.core.choices import LikelihoodMean


class Options(LossOptions):
    """The options of GRPO's loss, and those of the bonus."""

    kind: Literal["grpo_care"]
    bonus: Annotated[float, Field(ge=0)] = Field(description="what a consistent answer adds, times its accuracy")
    accuracy_floor: Annotated[float, Field(ge=0, le=1)] = Field(description="accuracy below which no bonus is earned")
    likelihood: LikelihoodMean = Field(
        description="mean over an answer's tokens: geometric (code) or arithmetic (paper)"
    )
    likelihood_cap: Annotated[float, Field(gt=0, le=1)] = Field(description="above it all answers count as alike")
    margin: Annotated[float, Field(ge=0)] = Field(description="how far below the usual likelihood still earns it")
    answer_delimiter: Annotated[str, Field(min_length=1)] | None = Field(
        description="words behind which the answer begins, such as </think>; null: all of the response is the answer"
    )
    average_keep: Annotated[float, Field(ge=0, le=1)] = Field(
        description="what the policy's moving average keeps of itself in a step; 1 leaves it the SFT policy"
    )
    average_every: Annotated[int, Field(ge=1)] = Field(description="updates between two steps of the average")
