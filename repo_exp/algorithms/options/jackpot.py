"""The options of Jackpot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from repo_exp.algorithms.options import grpo
from repo_exp.errors import Problem


class Options(grpo.Options):
    """The options of GRPO, and those of the rejection."""

    kind: Literal["jackpot"]  # type: ignore[assignment]
    refresh_every: Annotated[int, Field(ge=1)] = Field(description="updates between two copies of the policy")
    support: Literal["top_k", "exact"] = Field(description="what Z is summed over: the likeliest tokens, or all")
    top_k: Annotated[int, Field(ge=1)] = Field(
        description="how many of the likeliest tokens of either policy Z is summed over"
    )
    lam: Annotated[float, Field(gt=0)] = Field(
        description="a larger value rejects more tokens, and the rest are closer to the policy"
    )
    c1: Annotated[float, Field(gt=0)] = Field(description="bound of a kept token's weight p / q~")
    c2: Annotated[float, Field(gt=0)] = Field(description="bound of p_ref / p_new")

    def problems(self, config: Any) -> Iterator[Problem]:
        """A kept token's weight is the correction already."""
        if config.rollout.correction.kind != "none":
            yield Problem(
                "rollout.correction.kind",
                f"{config.rollout.correction.kind} would apply importance weights a second time: jackpot has its own",
                "rollout.correction.kind=none; or algorithm=grpo",
            )
