"""GRPO-CARE's bonus (2025, arXiv 2506.16141) for an answer that follows from its reasoning.   B responses, T tokens.

How likely a slow-moving average of the policy finds an answer, given the reasoning before it, measures how well the
two fit together. Among correct responses, those whose answer is at least as likely as usual earn a bonus.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.choices import LikelihoodMean
from repo_exp.core.groups import mean_of_peers, peers
from repo_exp.core.masks import same_shape


def answer_likelihood(logp_BT: Tensor, answer_BT: Tensor, *, mean: LikelihoodMean) -> Tensor:
    """Return the mean probability of each response's answer tokens: (B,) in [0, 1], NaN where there is no answer.

    arithmetic  mean of the probabilities, as the paper writes
    geometric   exp(mean of the log-probabilities), as the released code computes; never above the other

    Args:
        logp_BT: log-probabilities, in nats; what lies outside of the answer is never read.
        answer_BT: True at the tokens of the answer.

    Raises:
        ValueError: an unknown mean.
    """
    same_shape("answer_likelihood", logp_BT, answer_BT)
    p_BT = logp_BT.exp() if mean == "arithmetic" else logp_BT
    mean_B = torch.where(answer_BT, p_BT, torch.zeros_like(p_BT)).sum(1) / answer_BT.sum(1)
    if mean == "arithmetic":
        return mean_B
    if mean == "geometric":
        return mean_B.exp()
    raise ValueError(f"the mean is arithmetic or geometric, got {mean!r}")


def consistency_bonus(
    accuracy_B: Tensor,
    likelihood_B: Tensor,
    group_B: Tensor,
    *,
    weight: float,
    accuracy_floor: float,
    likelihood_cap: float,
    margin: float,
) -> Tensor:
    """Return what each response earns for an answer that follows from its reasoning: (B,), in units of accuracy.

        selected   accuracy >= max(mean accuracy of the group, accuracy_floor)
        p          min(likelihood, likelihood_cap): beyond the cap all answers count as equally likely
        mu         mean of p over the selected of the group, less the margin
        bonus      weight * accuracy where selected and p >= mu, 0 elsewhere

    A NaN accuracy or likelihood earns no bonus and counts in no mean.

    Args:
        accuracy_B: how correct each response is, in [0, 1].
        likelihood_B: of its answer, see :func:`answer_likelihood`.
    """
    same_shape("consistency_bonus", accuracy_B, likelihood_B, group_B)
    mean_B = mean_of_peers(accuracy_B, peers(group_B, ~accuracy_B.isnan()))
    selected_B = accuracy_B >= mean_B.clamp(min=accuracy_floor)
    capped_B = likelihood_B.clamp(max=likelihood_cap)
    usual_B = mean_of_peers(capped_B, peers(group_B, selected_B & ~capped_B.isnan())) - margin
    earned_B = selected_B & (capped_B >= usual_B)
    return torch.where(earned_B, weight * accuracy_B, torch.zeros_like(accuracy_B))
