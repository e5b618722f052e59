"""The options of GRPO and its relatives, and those of its loss, which other methods share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from repo_exp.algorithms.options.base import OnlineOptions
from repo_exp.core.choices import Baseline, Scale


class LossOptions(OnlineOptions):
    """The options of GRPO's loss: what methods share that differ from it in their advantages."""

    group_size: Annotated[int, Field(ge=2)] = Field(description="responses to each prompt, compared with one another")
    surrogate: Literal["clipped", "truncated_importance"] = Field(description="PPO's clip, or CISPO's weight")
    ratio: Literal["token", "sequence"] = Field(description="which ratio is clipped: of each token or of the response")
    drop_silent_groups: bool = Field(description="do not count the tokens of groups whose totals are all equal")

    @field_validator("surrogate")
    @classmethod
    def _reads_its_options(cls, surrogate: str, info: ValidationInfo) -> str:
        if surrogate == "truncated_importance" and info.data.get("dual_clip") is not None:
            raise ValueError("clipped, or algorithm.dual_clip=null: a truncated weight has no second clip")
        return surrogate


class Options(LossOptions):
    """The options of GRPO and its relatives."""

    kind: Literal["grpo"]
    baseline: Baseline = Field(description="what a response is compared with: group_mean or leave_one_out")
    scale: Scale = Field(description="whose standard deviation divides the advantages: group, batch or none")
    overlong_cache: Annotated[int, Field(ge=0)] = Field(
        description="the last tokens before the limit, over which the penalty rises to 1; 0 is no penalty"
    )
