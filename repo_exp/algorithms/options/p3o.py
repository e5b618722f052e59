"""The options of P3O."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from repo_exp.algorithms.options.base import WholeResponseOptions
from repo_exp.core.choices import Clipping


class Options(WholeResponseOptions):
    """The options of P3O."""

    kind: Literal["p3o"]
    group_size: Literal[2] = Field(description="responses to each prompt: a pair")
    clipping: Clipping = Field(description="what is clipped: each response (separate, V1) or the pair (joint, V2)")
    clip: Annotated[float, Field(gt=0, lt=1)] = Field(description="how far the ratio may move from 1")
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(
        description="weight of a response's KL to the SFT policy in its reward; 0 turns it off"
    )
