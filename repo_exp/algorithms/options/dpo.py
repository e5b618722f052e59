"""The options of DPO and its relatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from repo_exp.algorithms.options.base import LearnsFrom, MethodOptions
from repo_exp.core.choices import Divergence, PairLoss
from repo_exp.errors import Problem

# names that others have for a loss, and what has them here
ELSEWHERE = {
    "dpo": "algorithm.loss=sigmoid",
    "cdpo": "algorithm=cdpo, or loss sigmoid with a label_smoothing",
    "norm": "algorithm.loss=sigmoid algorithm.aggregation=mean",
    "simpo": "algorithm=simpo, or loss sigmoid with reference false, aggregation mean and a margin",
    "ld_dpo": "algorithm=ld_dpo, or loss sigmoid with a length_desensitizing",
}
OF_THE_DIFFERENCE = ("sigmoid", "robust", "hinge")  # losses of z = beta delta - margin


class Options(MethodOptions):
    """The options of DPO and its relatives."""

    learns_from: ClassVar[LearnsFrom] = "pairs"

    kind: Literal["dpo"]
    loss: PairLoss = Field(description="the loss of a pair; formulas in repo_exp/core/direct.py")
    beta: Annotated[float, Field(gt=0)] = Field(description="a larger value keeps the policy closer to the reference")
    reference: bool = Field(description="subtract the SFT policy's log-probabilities; false uses no reference")
    aggregation: Literal["sum", "mean"] = Field(description="a response's score: of its tokens the sum or the mean")
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        description="assumed share of pairs with swapped labels (sigmoid, robust)"
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        description="margin by which the better response should win (sigmoid, robust, hinge)"
    )
    length_desensitizing: Annotated[float, Field(ge=0, le=1)] = Field(
        description="weight of tokens beyond the shorter response's length; 1 is no difference"
    )
    divergence: Divergence = Field(description="the divergence from the reference that is penalised")
    divergence_alpha: Annotated[float, Field(ge=0, lt=1)] = Field(description="alpha of divergence=alpha")
    sft_weight: Annotated[float, Field(ge=0)] = Field(
        description="weight of an additional SFT loss on the better responses"
    )

    @field_validator("loss", mode="before")
    @classmethod
    def _is_a_loss(cls, loss: Any) -> Any:
        if isinstance(loss, str) and loss in ELSEWHERE:
            raise ValueError(ELSEWHERE[loss])
        return loss

    def problems(self, config: Any) -> Iterator[Problem]:
        """An option that the loss would not read misleads; pairs come in whole numbers."""
        rollouts = config.budget.rollouts
        if self.label_smoothing and self.loss not in ("sigmoid", "robust"):
            yield Problem(
                "algorithm.label_smoothing",
                f"the loss {self.loss} has no label smoothing",
                "0; or loss sigmoid or robust",
            )
        if self.margin and self.loss not in OF_THE_DIFFERENCE:
            yield Problem(
                "algorithm.margin",
                f"the loss {self.loss} has no margin",
                f"0; or loss {', '.join(OF_THE_DIFFERENCE)}",
            )
        if self.loss in ("nca", "apo_zero", "sppo_hard") and not self.reference:
            found = (
                f"the loss {self.loss} asks whether a response became likelier, and there is nothing to compare with"
            )
            yield Problem("algorithm.reference", found, "true; or another loss")
        of_a_reference = self.reference and self.aggregation == "sum" and self.loss in OF_THE_DIFFERENCE
        if self.divergence != "reverse_kl" and not of_a_reference:
            yield Problem(
                "algorithm.divergence",
                f"{self.divergence} is of whole responses to a reference, by the losses {', '.join(OF_THE_DIFFERENCE)}",
                "reverse_kl; or reference=true, aggregation=sum and one of these losses",
            )
        if rollouts % 2:
            yield Problem(
                "budget.rollouts",
                f"{rollouts} responses cannot be split into pairs",
                f"{rollouts + 1}: a step takes half as many pairs",
            )
