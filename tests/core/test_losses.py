"""PPO's losses, KL estimators, Bradley-Terry and the diagnostics, with values worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.diagnostics import explained_variance, negative_log_likelihood, surrogate_metrics
from repo_exp.core.kl import adapted_coefficient, kl_per_token
from repo_exp.core.policy_loss import clipped_surrogate, is_clipped, probability_ratio
from repo_exp.core.preference import bradley_terry_loss, calibrate, calibration, pair_accuracy
from repo_exp.core.value_loss import clipped_value_error


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found, *expected: float, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, t(*expected), atol=atol, rtol=0)


def test_the_clipped_surrogate_by_hand() -> None:
    """A > 0: at most 1.2 counts; A < 0: at least 0.8 counts against us."""
    close(clipped_surrogate(t(1.5, 0.5, 1.0, 0.5), t(1, 1, -1, -1), low=0.2, high=0.2), -1.2, -0.5, 1.0, 0.8)
    close(clipped_surrogate(t(1.3, 0.5), t(1, -1), low=0.2, high=0.28), -1.28, 0.8)


def test_tokens_clipped_in_the_favoured_direction_give_no_gradient() -> None:
    ratio, advantage = t(1.5, 0.5, 1.5, 0.5).requires_grad_(), t(1, 1, -1, -1)
    clipped_surrogate(ratio, advantage, low=0.2, high=0.2).sum().backward()
    assert ratio.grad.tolist() == [0.0, -1.0, 1.0, 0.0]
    assert is_clipped(ratio.detach(), advantage, low=0.2, high=0.2).tolist() == [True, False, False, True]


def test_a_dual_clip_bounds_the_loss_where_the_advantage_is_negative() -> None:
    """A = -1, ratio 4: 4 without, 3 with c = 3 and no gradient. A = 1 is as ever."""
    ratio, advantage = t(4, 2, 4, 0.5).requires_grad_(), t(-1, -1, 1, 1)
    close(clipped_surrogate(ratio, advantage, low=0.2, high=0.2).detach(), 4.0, 2.0, -1.2, -0.5)
    loss = clipped_surrogate(ratio, advantage, low=0.2, high=0.2, dual=3.0)
    close(loss.detach(), 3.0, 2.0, -1.2, -0.5)
    loss.sum().backward()
    assert ratio.grad.tolist() == [0.0, 1.0, 0.0, -1.0]
    clipped = is_clipped(ratio.detach(), advantage, low=0.2, high=0.2, dual=3.0)
    assert clipped.tolist() == [True, False, True, False]


def test_at_ratio_one_the_loss_is_minus_the_advantage() -> None:
    logp = t(-1.0, -2.0, -0.5)
    ratio = probability_ratio(logp, logp)
    assert ratio.tolist() == [1.0, 1.0, 1.0]
    close(clipped_surrogate(ratio, t(0.3, -2, 1), low=0.2, high=0.2), -0.3, 2.0, -1.0)


def test_the_ratio_stays_finite() -> None:
    assert probability_ratio(t(0.0), t(-1000.0)).item() == pytest.approx(math.exp(20))


def test_the_clipped_value_error_by_hand() -> None:
    """V clipped to [.7, .4, .9]; squared errors max: [1.69, .01, .01]; half their mean is .285."""
    error = clipped_value_error(t(1, 0.4, 0.9), t(0.5, 0.6, 0.7), t(2, 0.3, 0.8), clip=0.2)
    close(error, 0.845, 0.005, 0.005)
    assert error.mean().item() == pytest.approx(0.285)


def test_without_a_clip_the_value_error_is_the_squared_error() -> None:
    """Errors of -1, .1 and .1; the clip would have made 1.69 of the first square."""
    error = clipped_value_error(t(1, 0.4, 0.9), t(0.5, 0.6, 0.7), t(2, 0.3, 0.8), clip=None)
    close(error, 0.5, 0.005, 0.005)


def test_the_supervised_loss_by_hand() -> None:
    """p = .5, .25, .125: ln 64 in all, a third of it a token; the prompt's token, of any probability, is not read."""
    logp, mask = torch.tensor([[math.nan, 0.5, 0.25, 0.125]]).double().log(), torch.tensor([[False, True, True, True]])
    assert negative_log_likelihood(logp, mask, count=1).item() == pytest.approx(4.158883, abs=1e-6)
    assert negative_log_likelihood(logp, mask, count=mask.sum()).item() == pytest.approx(1.386294, abs=1e-6)


def test_kl_estimates_by_hand() -> None:
    logp, reference = t(-1, -0.5, -2), t(-1.2, -0.4, -2.5)
    close(kl_per_token(logp, reference, estimator="k1"), 0.2, -0.1, 0.5)
    k3 = kl_per_token(logp, reference, estimator="k3")
    close(k3, 0.018731, 0.005171, 0.106531)
    assert k3.mean().item() == pytest.approx(0.043477, abs=1e-6)
    single, other = t(math.log(0.5)), t(math.log(0.4))
    for estimator, expected in (("k1", 0.223144), ("k2", 0.024897), ("k3", 0.023144), ("k3+", 0.023144)):
        close(kl_per_token(single, other, estimator=estimator), expected)
    with pytest.raises(ValueError, match="k1, k2, k3 or k3"):
        kl_per_token(single, other, estimator="k4")


def test_k3_plus_has_the_value_of_k3_and_the_gradient_of_k2() -> None:
    """d = log ref - log p = .5: k3 = e^.5 - 1.5; the gradient of d^2 / 2 is -d, that of k3 would be 1 - e^.5."""
    logp = t(-1.0).requires_grad_()
    found = kl_per_token(logp, t(-0.5), estimator="k3+")
    close(found.detach(), math.exp(0.5) - 1.5)
    found.sum().backward()
    close(logp.grad, -0.5)
    for estimator, slope in (("k1", 1.0), ("k2", -0.5), ("k3", 1 - math.exp(0.5))):
        other = t(-1.0).requires_grad_()
        kl_per_token(other, t(-0.5), estimator=estimator).sum().backward()
        close(other.grad, slope)


def test_the_weight_of_the_kl_by_hand() -> None:
    """KL 9 over 6: an error of .5, clipped to .2: .15 (1 + .2 * 256 / 10000). KL 5.4: -.1."""
    steer = {"target": 6.0, "horizon": 10000.0, "responses": 256}
    assert adapted_coefficient(0.15, 9.0, **steer) == pytest.approx(0.150768)
    assert adapted_coefficient(0.15, 5.4, **steer) == pytest.approx(0.149616)
    assert adapted_coefficient(0.15, 6.0, **steer) == 0.15
    assert adapted_coefficient(0.15, 900.0, **steer) == adapted_coefficient(0.15, 9.0, **steer)


@given(st.floats(-15, 0), st.floats(-15, 0))
def test_k3_is_never_negative(a, b) -> None:
    assert kl_per_token(t(a), t(b), estimator="k3").item() >= -1e-12


def test_bradley_terry_by_hand() -> None:
    close(bradley_terry_loss(t(1.0), t(1.0)), math.log(2))
    close(bradley_terry_loss(t(2.0), t(0.5)), math.log(1 + math.exp(-1.5)))
    close(bradley_terry_loss(t(2.0), t(0.5), centring=0.1), math.log(1 + math.exp(-1.5)) + 0.1 * 2.5**2)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-5, 5))
def test_only_centring_ties_the_zero_down(a, b, shift) -> None:
    moved = bradley_terry_loss(t(a + shift), t(b + shift))
    torch.testing.assert_close(moved, bradley_terry_loss(t(a), t(b)), atol=1e-9, rtol=1e-6)
    if abs((a + b + 2 * shift) ** 2 - (a + b) ** 2) > 1e-3:
        centred = bradley_terry_loss(t(a + shift), t(b + shift), centring=1.0)
        assert abs((centred - bradley_terry_loss(t(a), t(b), centring=1.0)).item()) > 1e-4


def test_pair_accuracy_counts_a_tie_as_half() -> None:
    assert pair_accuracy(t(1, 2, 3, 0), t(0, 3, 3, -1)) == pytest.approx(2.5 / 4)


def test_calibration_gives_mean_zero_and_spread_one() -> None:
    """[1, 2, 3, 6]: mean 3, unbiased variance (4 + 1 + 0 + 9) / 3."""
    mean, spread = calibration(t(1, 2, 3, 6))
    assert (mean, spread) == pytest.approx((3.0, math.sqrt(14 / 3)))
    close(calibrate(t(3, 3 + spread), mean=mean, std=spread), 0, 1)
    assert calibration(t(2, 2)) == (2.0, 1.0)
    with pytest.raises(ValueError, match="at least 2"):
        calibration(t(1))


def test_explained_variance_and_how_far_the_policy_moved() -> None:
    mask = torch.ones(1, 4, dtype=torch.bool)
    returns = t(1, 2, 3, 4)[None]
    assert explained_variance(returns, returns, mask).item() == 1.0
    assert explained_variance(torch.full_like(returns, 2.5), returns, mask).item() == pytest.approx(0.0)
    assert math.isnan(explained_variance(returns, torch.ones_like(returns), mask).item())
    share = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    logp, old = t(0, 0.2)[None], t(0, 0)[None]
    metrics = surrogate_metrics(logp, old, (logp - old).exp(), t(1, 1)[None], share, low=0.2, high=0.2)
    assert metrics["policy/approx_kl"] == pytest.approx(0.5 * 0.04 / 2)
    assert metrics["policy/ratio"] == pytest.approx((1 + math.exp(0.2)) / 2)
    assert metrics["policy/clip_fraction"] == 0.5  # exp(0.2) = 1.221 is over 1.2
