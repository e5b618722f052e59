"""The options of DVPO."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from repo_exp.algorithms.options.base import CreditFrom, OnlineOptions
from repo_exp.core.choices import ValueTargets


class Options(OnlineOptions):
    """The options of DVPO and of the value model that it needs."""

    credit_from: ClassVar[CreditFrom] = "value model"

    kind: Literal["dvpo"]
    advantage: Literal["paper", "released"] = Field(description="the value itself, or GAE as the released code has it")
    whiten_advantages: bool = Field(description="standardise the advantages over the batch")
    gamma: Annotated[float, Field(ge=0, le=1)] = Field(description="discount of later rewards")
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = Field(
        description="lambda of lambda_return, and of advantage: released"
    )
    value_targets: ValueTargets = Field(description="targets of the value model: lambda_return, td0 or monte_carlo")
    value_epochs: Annotated[int, Field(ge=1)] = Field(description="the value model's passes over the pairs")
    value_batch_size: Annotated[int, Field(ge=1)] = Field(
        description="responses in an optimiser step of the value model"
    )
