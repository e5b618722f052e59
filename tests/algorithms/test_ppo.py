"""PPO's credit and losses, put together as the learner uses them."""

import math

import pytest
import torch

from repo_exp.algorithms.interface import Credit, Rollouts
from repo_exp.algorithms.ppo import Algorithm, Options
from repo_exp.algorithms.registry import find, names
from repo_exp.errors import ConfigError
from tests.algorithms.parts import knobs, part, rows_of, value_part

KNOBS = knobs("ppo", whiten_advantages=False)


def ppo(**changes) -> Algorithm:
    return Algorithm(Options(**KNOBS | changes))


def t(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


MASK = torch.tensor([[True, True, True]])
VALUE = t([[0.5, 0.6, 0.7]])


def credited(algorithm: Algorithm, total: float, value=VALUE, **known) -> Credit:
    return algorithm.credit(Rollouts(t([total]), torch.tensor([0]), MASK, 8, value_BT=value, **known))


def test_credit_by_hand() -> None:
    """The golden case: R = 2.4 at the third token."""
    credit = credited(ppo(), 2.4)
    torch.testing.assert_close(credit.advantage_BT, t([[1.72925, 1.715, 1.7]]))
    torch.testing.assert_close(credit.return_BT, t([[2.22925, 2.315, 2.4]]))


def test_credit_with_a_kl_by_hand() -> None:
    """k1 = [.2, -.1, .5], times .05 off the reward: r = [-.01, .005, .975]."""
    logp, reference, value = t([[-1, -0.5, -2]]), t([[-1.2, -0.4, -2.5]]), t([[0.1, 0.2, 0.3]])
    credit = credited(ppo(kl_coefficient=0.05), 1.0, value, old_logp_BT=logp, reference_logp_BT=reference)
    torch.testing.assert_close(credit.advantage_BT, t([[0.798937, 0.74625, 0.675]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(credit.return_BT, t([[0.898937, 0.94625, 0.975]]), atol=1e-6, rtol=0)


def test_returns_are_taken_before_advantages_are_standardised() -> None:
    plain, whitened = credited(ppo(), 2.4), credited(ppo(whiten_advantages=True), 2.4)
    torch.testing.assert_close(plain.return_BT, whitened.return_BT)
    assert whitened.advantage_BT.mean().abs() < 1e-9


def test_only_a_kl_needs_a_reference() -> None:
    assert not ppo().needs_reference
    assert ppo(kl_coefficient=0.1).needs_reference


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_parts_of_a_step_add_up_to_the_step(aggregation) -> None:
    """Losses and metrics are shares of the step's tokens, so microbatches cannot change them."""
    torch.manual_seed(0)
    logp, old, advantage, value, returns = (torch.randn(4, 5).double() for _ in range(5))
    mask = torch.rand(4, 5) > 0.3
    algorithm = ppo()
    whole = part(mask, advantage, old, aggregation=aggregation)
    loss, told = algorithm.policy_loss(logp, whole)
    parts = [algorithm.policy_loss(logp[r], rows_of(whole, r)) for r in ([0], [1, 2], [3])]
    torch.testing.assert_close(sum(loss for loss, _ in parts), loss)
    for name, figure in told.items():
        assert sum(metrics[name] for _, metrics in parts) == pytest.approx(figure, rel=1e-5)
    whole = value_part(mask, returns, value, aggregation=aggregation)
    values = [algorithm.value_loss(logp[r], rows_of(whole, r)) for r in ([0], [1, 2], [3])]
    torch.testing.assert_close(sum(values), algorithm.value_loss(logp, whole))


def test_padding_takes_no_part_in_any_loss() -> None:
    algorithm, nan = ppo(), math.nan
    mask = torch.tensor([[True, True, False]])
    given = part(mask, t([[1, 3, nan]]), t([[-1, -2, nan]]))
    loss, told = algorithm.policy_loss(t([[-1, -2, nan]]), given)
    assert loss.item() == pytest.approx(-2.0) and told["policy/ratio"] == pytest.approx(1.0)
    given = value_part(mask, t([[1, 3, nan]]), t([[1, 1, nan]]))
    assert algorithm.value_loss(t([[1, 1, nan]]), given).item() == pytest.approx(0.5 * 4 / 2)


@pytest.mark.parametrize(
    ("knob", "value"), [("clip", 0), ("gamma", 1.1), ("passes", 0), ("value_clip", 0), ("kl_coefficient", -1)]
)
def test_knobs_out_of_range_are_refused(knob, value) -> None:
    with pytest.raises(ValueError, match=knob):
        ppo(**{knob: value})


def test_an_algorithm_is_found_by_its_file() -> None:
    assert {"grpo", "ppo", "sft"} <= set(names())
    assert find("ppo").online and not find("sft").online
    with pytest.raises(ConfigError, match="did you mean 'ppo'"):
        find("pop")
