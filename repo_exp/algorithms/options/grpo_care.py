"""The options of GRPO-CARE."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from repo_exp.algorithms.options.grpo import LossOptions
from repo_exp.core.choices import LikelihoodMean


class Options(LossOptions):
    """The options of GRPO's loss, and those of the bonus."""

    kind: Literal["grpo_care"]
    bonus: Annotated[float, Field(ge=0)] = Field(description="bonus of a consistent answer, multiplied by its accuracy")
    accuracy_floor: Annotated[float, Field(ge=0, le=1)] = Field(description="accuracy below which no bonus is earned")
    likelihood: LikelihoodMean = Field(
        description="mean over an answer's tokens: geometric (code) or arithmetic (paper)"
    )
    likelihood_cap: Annotated[float, Field(gt=0, le=1)] = Field(
        description="likelihoods above this are treated as equal"
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        description="how far below the mean likelihood an answer still earns the bonus"
    )
    answer_delimiter: Annotated[str, Field(min_length=1)] | None = Field(
        description="the text after which the answer begins, such as </think>; null: the whole response is the answer"
    )
    average_keep: Annotated[float, Field(ge=0, le=1)] = Field(
        description="decay of the policy's moving average; 1 keeps it at the SFT policy"
    )
    average_every: Annotated[int, Field(ge=1)] = Field(description="updates between two steps of the average")
