"""The options of SPPO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from repo_exp.algorithms.options.base import WholeResponseOptions
from repo_exp.core.choices import SelfPlayTarget


class Options(WholeResponseOptions):
    """The options of SPPO."""

    kind: Literal["sppo"]
    group_size: Annotated[int, Field(ge=2)] = Field(
        description="responses to each prompt, of which the best and the worst are trained on"
    )
    beta: Annotated[float, Field(gt=0)] = Field(description="targets are (win rate - 1/2) / beta; 1 / beta is eta")
    target: SelfPlayTarget = Field(description="win_rate in the group, single (best against worst), or hard (1 and 0)")
