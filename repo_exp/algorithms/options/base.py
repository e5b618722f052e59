"""The base classes of the methods' options.

A method's file has a class ``Options``. Its class variables say what the method is trained on, its fields are the keys
of the section ``algorithm``, and :meth:`MethodOptions.problems` checks them together with other sections.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from repo_exp.core.choices import Aggregation, KLEstimator
from repo_exp.errors import Problem

LearnsFrom = Literal["own responses", "pairs", "nothing"]
CreditFrom = Literal["total", "sources", "value model", "nothing"]


class MethodOptions(BaseModel):
    """What every method has.

    Attributes:
        learns_from: what a method learns from beyond SFT.
            own responses   online: it samples, and a reward scores the responses
            pairs           offline: existing responses with the better one marked; no sampling and no reward
            nothing         the policy is the SFT policy
        credit_from: what an online method's advantages are made of.
            total         the combined total of the sources
            sources       each source by itself; the total is for the record
            value model   a model that was trained before; the sources are for the record
            nothing       the method uses no reward
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    learns_from: ClassVar[LearnsFrom] = "nothing"
    credit_from: ClassVar[CreditFrom] = "nothing"

    kind: str
    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_+.-]*$")] = Field(
        description="its name in tables, reports and W&B; only the evaluation's artifact depends on it"
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str, info: ValidationInfo) -> str:
        if info.data.get("kind") == "sft" and name != "sft":
            raise ValueError("sft, as the evaluation calls the supervised policy in every run")
        if name == "base" or (name == "sft") != (info.data.get("kind") == "sft"):
            raise ValueError("a name of its own: the evaluation calls the policy so before training")
        return name

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yield what these options and the rest of the configuration make impossible."""
        yield from ()


class StepOptions(MethodOptions):
    """The options of every online method: how often a batch is trained on."""

    learns_from: ClassVar[LearnsFrom] = "own responses"
    credit_from: ClassVar[CreditFrom] = "total"

    passes: Annotated[int, Field(ge=1)] = Field(description="passes over each batch of responses")
    minibatches: Annotated[int, Field(ge=1)] = Field(description="optimiser steps in a pass")


class OnlineOptions(StepOptions):
    """The options of methods whose loss is a sum over tokens: what a token counts, clip and KL."""

    aggregation: Aggregation = Field(
        description="weight of a token in the loss: token_mean, sequence_mean, sequence_sum or constant"
    )
    clip_low: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="how far the ratio may fall below 1 (CISPO has no such bound)"
    )
    clip_high: Annotated[float, Field(gt=0)] = Field(description="how far the ratio may rise above 1")
    dual_clip: Annotated[float, Field(gt=1)] | None = Field(
        description="the ratio at which a token with A < 0 is clipped as well; null is none"
    )
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(
        description="weight of the KL to the SFT policy; 0 turns it off"
    )
    kl_estimator: KLEstimator = Field(
        description="k1 (in a loss without effect on average), k2, k3, or k3+: the value of k3 with the gradient of k2"
    )

    @property
    def clips(self) -> dict[str, Any]:
        """The clips by the names that ``core`` has for them."""
        return {"low": self.clip_low, "high": self.clip_high, "dual": self.dual_clip}


class WholeResponseOptions(StepOptions):
    """The options of methods whose loss is of whole responses that are compared within a group."""

    group_size: int

    def problems(self, config: Any) -> Iterator[Problem]:
        """Minibatches are cut between groups, into equal parts; a sampler correction weighs tokens, not responses."""
        rollouts, pieces = config.budget.rollouts, self.minibatches
        groups, left_over = divmod(rollouts, self.group_size)
        if left_over == 0 and rollouts % pieces == 0 and groups % pieces:
            divisors = ", ".join(str(d) for d in range(1, min(groups, 64) + 1) if groups % d == 0)
            yield Problem(
                "algorithm.minibatches",
                f"the {groups} groups of a round cannot be cut into {pieces} equal parts",
                f"one of {divisors}; or another budget.rollouts",
            )
        if config.rollout.correction.kind != "none":
            yield Problem(
                "rollout.correction.kind",
                f"{config.rollout.correction.kind} weighs tokens, and the loss of {self.name} is of whole responses",
                "rollout.correction.kind=none; or a method whose loss is of tokens, such as algorithm=grpo",
            )
