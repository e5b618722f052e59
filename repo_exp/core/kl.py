"""Estimates of KL(pi || pi_ref) from the tokens that pi sampled, with d = log pi_ref - log pi."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from repo_exp.core.masks import same_shape

Estimator = Literal["k1", "k2", "k3"]


def kl_per_token(logp_BT: Tensor, reference_logp_BT: Tensor, *, estimator: Estimator) -> Tensor:
    """Return an estimate of the KL divergence at each token, in nats.

        k1 = -d               unbiased, may be negative
        k2 = d^2 / 2          biased as a value, right as a gradient
        k3 = exp(d) - 1 - d   unbiased, never negative

    d is held inside +-20 and k3 inside +-10, so that one odd token cannot fill the batch.
    """
    same_shape("kl_per_token", logp_BT, reference_logp_BT)
    d_BT = (reference_logp_BT - logp_BT).clamp(-20.0, 20.0)
    if estimator == "k1":
        return -d_BT
    if estimator == "k2":
        return d_BT.square() / 2
    if estimator == "k3":
        return (d_BT.exp() - 1 - d_BT).clamp(-10.0, 10.0)
    raise ValueError(f"the KL estimator is k1, k2 or k3, got {estimator!r}")
