"""What tokens count in the policy's loss where something else than the policy drew them.   B replies, T tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Comparison, OnlineAlgorithm, Part
from repo_exp.config.schema import Correction
from repo_exp.core.correction import sampler_correction
from repo_exp.core.masks import weighted_sum
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import ReplyBatch, reply_comparison

Metrics = dict[str, float]


def reweighed(
    given: Part, sampler_logp_BT: Tensor, *, factor_BT: Tensor | None, correction: Correction | None
) -> tuple[Part, Metrics]:
    """Return a part with the token weights of the policy's loss, and metrics that add up over parts.

    Weights are multiplied with the algorithm's factor and with the correction of the sampler, where there are such.
    Where an update is a single step, the old log-probabilities that the correction reads are those of the learning
    pass itself. The value network's loss keeps the weights that it has.
    """
    weight_BT, metrics = given.weight_BT, {}
    if factor_BT is not None:
        weight_BT = weight_BT * factor_BT
    if correction is not None and correction.kind != "none":
        w_BT, capped_BT = sampler_correction(
            given.old_logp_BT, sampler_logp_BT, kind=correction.kind, cap=correction.cap
        )
        weight_BT = weight_BT * w_BT
        metrics = {
            "policy/correction_mean": weighted_sum(w_BT, given.share_BT).item(),
            "policy/correction_share": weighted_sum(capped_BT.float(), given.share_BT).item(),
        }
    return replace(given, weight_BT=weight_BT), metrics


def compared(
    backbone: Backbone,
    algorithm: OnlineAlgorithm,
    batches: Iterable[tuple[Sequence[int], ReplyBatch]],
    part: Sequence[int],
    *,
    mask_BT: Tensor,
    old_logp_BT: Tensor | None,
    uniform_BT: Tensor,
    temperature: float,
) -> tuple[Tensor, Metrics]:
    """Hold policy and sampling role against one another; return the algorithm's factor of each token, and its metrics.

    Args:
        batches: the replies of a step in microbatches, each with their places in the round.
        part: the places of all of them. The factor of other replies is 0.
        old_logp_BT: the policy's log-probabilities before the update; None where this is its first step.
    """
    logp_BT, sampler_logp_BT, said_BT, factor_BT = (torch.zeros(mask_BT.shape) for _ in range(4))
    for chosen, batch in batches:
        told = reply_comparison(
            backbone, batch, ("policy", algorithm.samples_from), algorithm.compare, temperature=temperature
        )
        for whole_BT, each in zip((logp_BT, sampler_logp_BT, said_BT), told, strict=True):
            whole_BT[list(chosen), : each.shape[1]] = each.cpu()
    old_logp_BT = logp_BT if old_logp_BT is None else old_logp_BT
    rows = list(part)
    seen = (each[rows] for each in (mask_BT, logp_BT, sampler_logp_BT, said_BT, old_logp_BT, uniform_BT))
    factor_BT[rows], metrics = algorithm.factor(Comparison(*seen))
    return factor_BT, metrics
