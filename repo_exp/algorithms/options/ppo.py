"""The options of PPO and REPO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from repo_exp.algorithms.options.base import OnlineOptions
from repo_exp.errors import Problem


class Options(OnlineOptions):
    """The options of PPO and of REPO."""

    kind: Literal["ppo"]
    gamma: Annotated[float, Field(ge=0, le=1)] = Field(description="discount of later rewards")
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = Field(description="GAE's lambda; 1 uses full returns")
    value_clip: Annotated[float, Field(gt=0)] | None = Field(
        description="how far a value may move in an update before it is clipped; null is no clip"
    )
    whiten_advantages: bool = Field(description="standardise the advantages over the batch")
    whiten_rewards: bool = Field(
        description="divide the rewards of a batch by their standard deviation; the mean is kept"
    )
    missing_eos_penalty: Annotated[float, Field(ge=0)] = Field(
        description="penalty on the total of a response that does not end"
    )
    kl_target: Annotated[float, Field(gt=0)] | None = Field(
        description="target KL of a response, in nats, for an adaptive KL weight; null keeps the weight fixed"
    )
    kl_horizon: Annotated[float, Field(gt=0)] = Field(description="number of responses over which that weight adapts")

    def problems(self, config: Any) -> Iterator[Problem]:
        """A weight that adapts by factors cannot leave 0."""
        if self.kl_target is not None and self.kl_coefficient == 0:
            yield Problem(
                "algorithm.kl_coefficient",
                "0 stays 0, whatever algorithm.kl_target is: the weight adapts by factors",
                "a weight to start from, such as algorithm.kl_coefficient=0.15; or algorithm.kl_target=null",
            )
