"""DVPO's targets and advantages, with golden values."""

import math

import pytest
import torch

from repo_exp.core.frozen_value import released_advantage, static_advantage, value_targets


def t(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


ALL = torch.ones(1, 3, dtype=torch.bool)
ENDS_WELL, VALUE = t([0, 0, 1]), t([0.1, 0.2, 0.3])
RELEASED = {"kl_coefficient": 0.2, "gamma": 1.0, "gae_lambda": 0.95}


def close(found, *expected: float, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, t(expected), atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("targets", "gamma", "expected"),
    [
        # A_3 = 1 - .3 = .7;  A_2 = .1 + .95 * .7 = .765;  A_1 = .1 + .95 * .765 = .82675; each plus its value
        ("lambda_return", 1.0, (0.92675, 0.965, 1.0)),
        ("td0", 1.0, (0.2, 0.3, 1.0)),
        ("monte_carlo", 0.9, (0.81, 0.9, 1.0)),
    ],
)
def test_targets_by_hand(targets, gamma, expected) -> None:
    found = value_targets(ENDS_WELL, VALUE, ALL, targets=targets, gamma=gamma, gae_lambda=0.95)
    close(found, *expected)


def test_the_lambda_return_lies_between_the_other_two() -> None:
    how = {"gamma": 0.97}
    for gae_lambda, other in ((0.0, "td0"), (1.0, "monte_carlo")):
        one = value_targets(ENDS_WELL, VALUE, ALL, targets="lambda_return", gae_lambda=gae_lambda, **how)
        torch.testing.assert_close(one, value_targets(ENDS_WELL, VALUE, ALL, targets=other, gae_lambda=0.5, **how))


def test_monte_carlo_targets_do_not_hang_on_the_values_and_no_target_takes_gradients() -> None:
    how = {"targets": "monte_carlo", "gamma": 1.0, "gae_lambda": 0.0}
    close(value_targets(ENDS_WELL, VALUE, ALL, **how), 1, 1, 1)
    close(value_targets(ENDS_WELL, -9 * VALUE, ALL, **how), 1, 1, 1)
    assert not value_targets(ENDS_WELL, VALUE.clone().requires_grad_(), ALL, **how).requires_grad


def test_the_static_advantage_by_hand() -> None:
    """Mean 0.275, unbiased deviation 0.298608."""
    value, mask = t([0.2, 0.6, -0.1, 0.4]), torch.ones(1, 4, dtype=torch.bool)
    close(static_advantage(value, mask, whiten=True), -0.251165, 1.088384, -1.255827, 0.418609)
    close(static_advantage(value, mask, whiten=False), 0.2, 0.6, -0.1, 0.4)


def test_the_released_form_by_hand() -> None:
    """Raw: -.8; .3 - .95 * .8; .3 - .95 * .46. Whitened values are -1, 0, 1, whose GAE 1.0475, .05, -1 is whitened."""
    value, no_kl = t([0.2, 0.5, 0.8]), t([0, 0, 0])
    close(released_advantage(value, no_kl, ALL, whiten=False, **RELEASED), -0.137, -0.46, -0.8)
    close(released_advantage(value, no_kl, ALL, whiten=True, **RELEASED), 0.991344, 0.017092, -1.008436)


def test_the_released_form_standardises_before_and_after() -> None:
    """(V - .5) / .360555 = -.832050, 1.109400, -.277350; its GAE .874346, -1.123268, .277350; of that the standard."""
    value, no_kl = t([0.2, 0.9, 0.4]), t([0, 0, 0])
    close(released_advantage(value, no_kl, ALL, whiten=True, **RELEASED), 0.843451, -1.104691, 0.261240)


def test_the_released_form_takes_the_kl_off() -> None:
    """-0.2 * 0.5 at the last token: A_3 = -.9; A_2 = .3 - .95 * .9 = -.555; A_1 = .3 - .95 * .555 = -.22725."""
    value, kl = t([0.2, 0.5, 0.8]), t([0, 0, 0.5])
    close(released_advantage(value, kl, ALL, whiten=False, **RELEASED), -0.22725, -0.555, -0.9)


@pytest.mark.parametrize("whiten", [False, True])
def test_padding_is_never_read(whiten) -> None:
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    value = t([0.1, 0.2, 0.3, math.nan], [0.4, math.nan, math.nan, math.nan])
    zero = torch.zeros_like(value)
    for found in (
        static_advantage(value, mask, whiten=whiten),
        released_advantage(value, value, mask, whiten=whiten, **RELEASED),
        value_targets(zero, value, mask, targets="lambda_return", gamma=1.0, gae_lambda=0.95),
    ):
        assert found.isfinite().all() and (found[~mask] == 0).all() and (found[mask] != 0).any()


def test_shapes_that_differ_and_targets_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        static_advantage(VALUE, ALL[:, :2], whiten=False)
    with pytest.raises(ValueError, match="lambda_return, td0 or monte_carlo"):
        value_targets(ENDS_WELL, VALUE, ALL, targets="td1", gamma=1.0, gae_lambda=0.95)
