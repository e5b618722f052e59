"""DPO (Rafailov et al., 2023, arXiv 2305.18290) and its relatives: learning from pairs, the better reply known.

    s = log pi(y) - log pi_ref(y)        L = -log sigmoid(beta (s+ - s-))     s+: the better reply's

No reply is sampled, no reward is asked and there is no value network. The relatives differ by a word:

    cdpo        label_smoothing above 0                                   Mitchell, 2023
    robust_dpo  loss: robust, label_smoothing                             Chowdhury et al., 2024, arXiv 2403.00409
    ipo         loss: ipo, aggregation: mean                              Azar et al., 2023, arXiv 2310.12036
    simpo       reference: false, aggregation: mean, margin               Meng et al., 2024, arXiv 2405.14734
    ld_dpo      length_desensitizing below 1                              Liu et al., 2024, arXiv 2409.06411
    nca         loss: nca                                                 Chen et al., 2024, arXiv 2402.05369
    apo_zero    loss: apo_zero                                            D'Oosterlinck et al., 2024, arXiv 2408.06266

``sft_weight`` adds minus the mean log-probability of the better replies' tokens: the log-probabilities of both replies
may fall while their difference grows. IPO's paper writes sums; its authors confirmed that means made its figures.

Edge cases: two replies that are the same give no gradient in the losses of the difference. Pairs are never weighed by
their length; a pair is one of the step's pairs. The mean of LD-DPO's weighted tokens is divided by their weights, which
is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from torch import Tensor

from repo_exp.algorithms.interface import MethodOptions, OfflineAlgorithm, Pairs
from repo_exp.core.diagnostics import negative_log_likelihood
from repo_exp.core.direct import Divergence, Loss, direct_loss, divergence_scores, reply_scores
from repo_exp.core.preference import pair_accuracy
from repo_exp.errors import Problem

online = False
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
    """The knobs of DPO and its relatives."""

    kind: Literal["dpo"]
    loss: Loss = Field(description="of a pair's scores: the formulas are in repo_exp/core/direct.py")
    beta: Annotated[float, Field(gt=0)] = Field(description="the larger, the closer to the reference")
    reference: bool = Field(description="measure log-probabilities against the SFT policy's; false needs no reference")
    aggregation: Literal["sum", "mean"] = Field(description="a reply's score: of its tokens the sum or the mean")
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        description="share of pairs taken to be the wrong way round (sigmoid, robust)"
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        description="by which the better reply should win (sigmoid, robust, hinge)"
    )
    length_desensitizing: Annotated[float, Field(ge=0, le=1)] = Field(
        description="weight of tokens beyond the shorter reply's length; 1 is no difference"
    )
    divergence: Divergence = Field(description="what holds the policy to the reference")
    divergence_alpha: Annotated[float, Field(ge=0, lt=1)] = Field(description="of divergence=alpha")
    sft_weight: Annotated[float, Field(ge=0)] = Field(description="weight of imitating the better replies besides")

    @field_validator("loss", mode="before")
    @classmethod
    def _is_a_loss(cls, loss: Any) -> Any:
        if isinstance(loss, str) and loss in ELSEWHERE:
            raise ValueError(ELSEWHERE[loss])
        return loss


def problems(options: Options, config: Any) -> Iterator[Problem]:
    """A knob that the loss would not read misleads; pairs come in whole numbers."""
    o, rollouts = options, config.budget.rollouts
    if o.label_smoothing and o.loss not in ("sigmoid", "robust"):
        yield Problem(
            "algorithm.label_smoothing", f"the loss {o.loss} knows no wrong labels", "0; or loss sigmoid or robust"
        )
    if o.margin and o.loss not in OF_THE_DIFFERENCE:
        yield Problem(
            "algorithm.margin", f"the loss {o.loss} has no margin", f"0; or loss {', '.join(OF_THE_DIFFERENCE)}"
        )
    if o.loss in ("nca", "apo_zero", "sppo_hard") and not o.reference:
        found = f"the loss {o.loss} asks whether a reply became likelier, and there is nothing to compare with"
        yield Problem("algorithm.reference", found, "true; or another loss")
    if o.divergence != "reverse_kl" and not (o.reference and o.aggregation == "sum" and o.loss in OF_THE_DIFFERENCE):
        yield Problem(
            "algorithm.divergence",
            f"{o.divergence} is of whole replies to a reference, by the losses {', '.join(OF_THE_DIFFERENCE)}",
            "reverse_kl; or reference=true, aggregation=sum and one of these losses",
        )
    if rollouts % 2:
        yield Problem(
            "budget.rollouts",
            f"{rollouts} replies are no whole pairs",
            f"{rollouts + 1}: a step learns from half as many pairs",
        )


class Algorithm(OfflineAlgorithm):
    """The loss of DPO and its relatives."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.needs_reference = options.reference

    def loss(self, logp_B2T: Tensor, part: Pairs) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of this part, and what the policy itself says of the pairs: beta s, the implicit reward."""
        o, share = self.options, len(logp_B2T) / part.pairs
        ratio_B2T = logp_B2T if part.reference_logp_B2T is None else logp_B2T - part.reference_logp_B2T
        score_B2 = reply_scores(ratio_B2T, part.mask_B2T, mean=o.aggregation == "mean", beyond=o.length_desensitizing)
        shaped_B2 = divergence_scores(score_B2, divergence=o.divergence, alpha=o.divergence_alpha)
        loss_B = direct_loss(shaped_B2, loss=o.loss, beta=o.beta, label_smoothing=o.label_smoothing, margin=o.margin)
        loss = loss_B.sum() / part.pairs
        better_B, worse_B = (o.beta * score_B2.detach()).unbind(1)
        metrics = {
            "implicit/accuracy": pair_accuracy(better_B, worse_B) * share,
            "implicit/margin": (better_B - worse_B).mean().item() * share,
            "implicit/chosen": better_B.mean().item() * share,
            "implicit/rejected": worse_B.mean().item() * share,
        }
        if o.sft_weight:
            imitation = negative_log_likelihood(logp_B2T[:, 0], part.mask_B2T[:, 0], count=part.better_tokens)
            loss = loss + o.sft_weight * imitation
            metrics["loss/imitation"] = imitation.item()
        return loss, metrics
