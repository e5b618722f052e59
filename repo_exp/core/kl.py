"""The KL divergence from a reference: estimates from the tokens that pi sampled, and an adaptive weight."""

from __future__ import annotations

from torch import Tensor

from repo_exp.core.choices import KLEstimator
from repo_exp.core.masks import same_shape


def kl_per_token(logp_BT: Tensor, reference_logp_BT: Tensor, *, estimator: KLEstimator) -> Tensor:
    """Return an estimate of KL(pi || pi_ref) at each token, in nats, with d = log pi_ref - log pi.

        k1  = -d               unbiased, may be negative; as a loss it has no gradient on average
        k2  = d^2 / 2          biased as a value, right as a gradient
        k3  = exp(d) - 1 - d   unbiased, never negative; biased as a gradient
        k3+                    the value of k3 with the gradient of k2

    d is held inside +-20 and k3 inside +-10, so that one odd token cannot fill the batch.

    Raises:
        ValueError: an unknown estimator.
    """
    same_shape("kl_per_token", logp_BT, reference_logp_BT)
    d_BT = (reference_logp_BT - logp_BT).clamp(-20.0, 20.0)
    if estimator == "k1":
        return -d_BT
    k2_BT = d_BT.square() / 2
    if estimator == "k2":
        return k2_BT
    k3_BT = (d_BT.exp() - 1 - d_BT).clamp(-10.0, 10.0)
    if estimator == "k3":
        return k3_BT
    if estimator == "k3+":
        return k3_BT.detach() + (k2_BT - k2_BT.detach())
    raise ValueError(f"the KL estimator is k1, k2, k3 or k3+, got {estimator!r}")


def adapted_coefficient(coefficient: float, kl: float, *, target: float, horizon: float, responses: int) -> float:
    """Return the weight of the KL after a batch: heavier where the KL was above its target (Ziegler et al., 2019).

        error       = clip(KL / target - 1, -0.2, 0.2)
        coefficient = coefficient * (1 + error * responses / horizon)

    Args:
        kl: mean over the batch's responses of their KL, summed over tokens, in nats.
        target: the KL of a response that is aimed at, in nats.
        horizon: responses in which an error of 1, were it not clipped, would double the weight.
        responses: how many the batch had.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * responses / horizon)
