"""Figures that tell whether learning is healthy.   B replies, T tokens, V vocabulary."""

from __future__ import annotations

from torch import Tensor

from repo_exp.core.masks import masked_mean, masked_sum


def approximate_kl(logp_BT: Tensor, old_logp_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return 0.5 * mean((log pi - log pi_old)^2), in nats: how far the policy moved since it sampled."""
    return 0.5 * masked_mean((logp_BT - old_logp_BT).square(), mask_BT)


def explained_variance(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return 1 - Var(R - V) / Var(R): 1 is a perfect value network, 0 one that says the mean; NaN without spread."""

    def variance(x_BT: Tensor) -> Tensor:
        return masked_mean((x_BT - masked_mean(x_BT, mask_BT)).square(), mask_BT)

    spread = variance(return_BT)
    return 1 - variance(return_BT - value_BT) / spread if spread > 0 else spread * float("nan")


def entropy(logits_BTV: Tensor) -> Tensor:
    """Return the entropy of each next-token distribution, in nats: (B, T)."""
    logp_BTV = logits_BTV.log_softmax(-1)
    return -(logp_BTV.exp() * logp_BTV).sum(-1)


def gathered_logp(logits_BTV: Tensor, token_BT: Tensor) -> Tensor:
    """Return log softmax(logits)[token]: (B, T), in nats."""
    chosen_BT = logits_BTV.gather(-1, token_BT[..., None]).squeeze(-1)
    return chosen_BT - logits_BTV.logsumexp(-1)


def negative_log_likelihood(logp_BT: Tensor, mask_BT: Tensor, *, count: Tensor | float) -> Tensor:
    """Return -sum(log p of the masked tokens) / count: the supervised loss, in nats a token."""
    return -masked_sum(logp_BT, mask_BT) / count
