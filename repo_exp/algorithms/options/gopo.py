"""The options of GOPO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from repo_exp.algorithms.options.grpo import LossOptions
from repo_exp.core.choices import Ties


class Options(LossOptions):
    """The options of GRPO's loss, and what equal totals get."""

    kind: Literal["gopo"]
    ties: Ties = Field(description="equal totals share their ranks (averaged), or the first drawn wins (published)")
