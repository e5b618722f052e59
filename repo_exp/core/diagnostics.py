"""Metrics that show whether training is healthy.   B responses, T tokens, V vocabulary."""

from __future__ import annotations

from torch import Tensor

from repo_exp.core.masks import masked_mean, masked_sum, weighted_sum
from repo_exp.core.policy_loss import is_clipped


def approximate_kl(logp_BT: Tensor, old_logp_BT: Tensor, share_BT: Tensor) -> float:
    """Return 0.5 * mean((log pi - log pi_old)^2), in nats a token: how far the policy moved since it sampled.

    Args:
        share_BT: one over the tokens of the step, 0 outside the mask.
    """
    return 0.5 * weighted_sum((logp_BT.detach() - old_logp_BT).square(), share_BT).item()


def surrogate_metrics(
    logp_BT: Tensor,
    old_logp_BT: Tensor,
    ratio_BT: Tensor,
    advantage_BT: Tensor,
    share_BT: Tensor,
    *,
    low: float,
    high: float,
    dual: float | None = None,
) -> dict[str, float]:
    """Return how far the policy moved since it sampled; figures of parts of a step add up to those of the step.

    Args:
        share_BT: one over the tokens of the step, 0 outside the mask.
        low, high: how far the ratio may leave 1 on either side before it is clipped.
        dual: the ratio over which a token with A < 0 is clipped too.
    """
    ratio_BT = ratio_BT.detach()
    clipped_BT = is_clipped(ratio_BT, advantage_BT, low=low, high=high, dual=dual)
    return {
        "policy/approx_kl": approximate_kl(logp_BT, old_logp_BT, share_BT),
        "policy/clip_fraction": weighted_sum(clipped_BT.float(), share_BT).item(),
        "policy/ratio": weighted_sum(ratio_BT, share_BT).item(),
    }


def explained_variance(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return 1 - Var(R - V) / Var(R): 1 is a perfect value network, 0 one that predicts the mean; NaN for equal R."""

    def variance(x_BT: Tensor) -> Tensor:
        return masked_mean((x_BT - masked_mean(x_BT, mask_BT)).square(), mask_BT)

    of_returns = variance(return_BT)
    return 1 - variance(return_BT - value_BT) / of_returns if of_returns > 0 else of_returns * float("nan")


def negative_log_likelihood(logp_BT: Tensor, mask_BT: Tensor, *, count: Tensor | float) -> Tensor:
    """Return -sum(log p of the masked tokens) / count: the supervised loss, in nats a token."""
    return -masked_sum(logp_BT, mask_BT) / count
