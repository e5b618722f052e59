"""Losses on pairs of responses, of which one is preferred.   B pairs, 2 responses (the better one first), T tokens.

A response's score is how much likelier the policy makes it than the reference does: s = log pi(y) - log pi_ref(y), or
s = log pi(y) without a reference. s+ is the better response's, s- the other's, delta = s+ - s-.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from repo_exp.core.choices import Divergence, PairLoss
from repo_exp.core.masks import same_shape

EXPONENT_BOUND = 80.0  # exp(80) is still finite in float32


def response_scores(ratio_B2T: Tensor, mask_B2T: Tensor, *, mean: bool, beyond: float = 1.0) -> Tensor:
    """Return the score of each response: the sum of its tokens' log-ratios, or their mean: (B, 2).

    LD-DPO (Liu et al., 2024): tokens beyond the length of the pair's shorter response weigh ``beyond``, from 1 (nothing
    is changed) to 0 (they do not count). A mean is a weighted one then. What the mask leaves out is never read, NaN
    included; a response without tokens has score 0.
    """
    same_shape("response_scores", ratio_B2T, mask_B2T)
    place_B2T, shared_B11 = mask_B2T.cumsum(2), mask_B2T.sum(2).amin(1)[:, None, None]
    weight_B2T = torch.where(place_B2T <= shared_B11, 1.0, beyond).to(ratio_B2T.dtype) * mask_B2T
    score_B2 = torch.where(mask_B2T, ratio_B2T, torch.zeros_like(ratio_B2T)).mul(weight_B2T).sum(2)
    return score_B2 / weight_B2T.sum(2).clamp(min=1) if mean else score_B2


def divergence_scores(score_B2: Tensor, *, divergence: Divergence, alpha: float = 1.0) -> Tensor:
    """Return the scores of f-DPO (Wang et al., 2024): f'(u) of the ratio u = exp(s), constants left out: (B, 2).

        reverse_kl      s                                     DPO's own
        forward_kl      -exp(-s)
        jensen_shannon  log sigmoid(s)
        alpha           exp((alpha - 1) s) / (alpha - 1)      0: forward_kl; towards 1: reverse_kl; never 1 itself

    Exponents are held below 80; beyond it there is no gradient.
    """
    if divergence == "reverse_kl":
        return score_B2
    if divergence == "jensen_shannon":
        return logsigmoid(score_B2)
    power = -1.0 if divergence == "forward_kl" else alpha - 1
    return (power * score_B2).clamp(max=EXPONENT_BOUND).exp() / power


def direct_loss(
    score_B2: Tensor, *, loss: PairLoss, beta: float, label_smoothing: float = 0.0, margin: float = 0.0
) -> Tensor:
    """Return the loss of each pair: (B,), with z = beta delta - margin, e = ``label_smoothing`` and ls = log sigmoid.

        sigmoid    -(1 - e) ls(z) - e ls(-z)                             DPO, Rafailov et al., 2023; e > 0: cDPO
        robust     (-(1 - e) ls(z) + e ls(-z)) / (1 - 2 e)               Chowdhury et al., 2024
        hinge      max(0, 1 - z)                                         SLiC, Zhao et al., 2023
        ipo        (delta - 1 / (2 beta))^2                              Azar et al., 2023
        nca        -ls(beta s+) - ls(-beta s+) / 2 - ls(-beta s-) / 2   Chen et al., 2024
        apo_zero   1 - sigmoid(beta s+) + sigmoid(beta s-)              D'Oosterlinck et al., 2024
        sppo_hard  (s+ - 1 / (2 beta))^2 + (s- + 1 / (2 beta))^2        Wu et al., 2024, every win certain

    e is the share of pairs that are labelled the wrong way round: cDPO takes it into the target, robust takes its bias
    out of the loss. The last three look at each response by itself, the others at the difference only.
    ``label_smoothing`` and ``margin`` have an effect where the formula has e and z.

    Raises:
        ValueError: an unknown loss, or not two scores a pair.
    """
    if score_B2.ndim != 2 or score_B2.shape[1] != 2:
        raise ValueError(f"direct_loss needs two scores a pair, (B, 2), got {tuple(score_B2.shape)}")
    better_B, worse_B = score_B2.unbind(1)
    delta_B = better_B - worse_B
    z_B, e, target = beta * delta_B - margin, label_smoothing, 1 / (2 * beta)
    if loss == "sigmoid":
        return -(1 - e) * logsigmoid(z_B) - e * logsigmoid(-z_B)
    if loss == "robust":
        return (-(1 - e) * logsigmoid(z_B) + e * logsigmoid(-z_B)) / (1 - 2 * e)
    if loss == "hinge":
        return relu(1 - z_B)
    if loss == "ipo":
        return (delta_B - target).square()
    if loss == "nca":
        towards_B = -logsigmoid(beta * better_B)
        return towards_B - 0.5 * (logsigmoid(-beta * better_B) + logsigmoid(-beta * worse_B))
    if loss == "apo_zero":
        return 1 - (beta * better_B).sigmoid() + (beta * worse_B).sigmoid()
    if loss == "sppo_hard":
        return (better_B - target).square() + (worse_B + target).square()
    raise ValueError(f"the loss is one of {', '.join(get_args(PairLoss))}, got {loss!r}")
