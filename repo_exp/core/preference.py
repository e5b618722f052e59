"""Bradley-Terry: the probability that one response is preferred to another.   B pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from repo_exp.core.masks import same_shape


def bradley_terry_loss(
    chosen_B: Tensor,
    rejected_B: Tensor,
    *,
    margin_B: Tensor | float = 0.0,
    label_B: Tensor | float = 1.0,
    centring: float = 0.0,
) -> Tensor:
    """Return the loss of each pair, a cross-entropy: (B,).

        d = r_chosen - r_rejected
        L = -label log sigmoid(d - margin) - (1 - label) log sigmoid(-d - margin) + centring (r_chosen + r_rejected)^2

    With the label 1 this is Bradley-Terry; with 0.5 a tie, whose loss is symmetric and lowest at d = 0. Without
    centring the loss does not change when a constant is added to every score; with it the scores are drawn to a
    mean of 0 within the pair (Eisenstein et al., 2023).

    Args:
        margin_B: how far apart the two ought to be, in units of the score; 0 asks for no distance.
        label_B: the probability that the first one is the better.
    """
    same_shape("bradley_terry_loss", chosen_B, rejected_B)
    d_B = chosen_B - rejected_B
    entropy_B = label_B * -logsigmoid(d_B - margin_B) + (1 - label_B) * -logsigmoid(-d_B - margin_B)
    return entropy_B + centring * (chosen_B + rejected_B).square()


def disagrees(predicted: float, label: float, *, least: float) -> bool:
    """Is a predicted win probability off the label by at least ``least``? RRM keeps such pairs and no others."""
    return abs(predicted - label) >= least


def pair_accuracy(chosen_B: Tensor, rejected_B: Tensor) -> float:
    """Return the share of pairs in which the chosen response scores higher; a tie counts one half."""
    same_shape("pair_accuracy", chosen_B, rejected_B)
    wins_B = (chosen_B > rejected_B).double() + 0.5 * (chosen_B == rejected_B).double()
    return wins_B.mean().item() if len(wins_B) else float("nan")


def calibration(score_B: Tensor) -> tuple[float, float]:
    """Return the mean and the unbiased standard deviation of scores: the zero and the unit of a reward model.

    Equal scores get the unit 1, so that calibrating never divides by zero.

    Raises:
        ValueError: fewer than 2 scores.
    """
    if len(score_B) < 2:
        raise ValueError(f"calibration needs at least 2 scores, got {len(score_B)}")
    std = score_B.double().std().item()
    return score_B.double().mean().item(), std if std > 1e-8 else 1.0


def calibrate(score_B: Tensor, *, mean: float, std: float) -> Tensor:
    """Return (score - mean) / std: above 0 means better than the responses that fixed the calibration."""
    return torch.as_tensor(score_B - mean) / std
