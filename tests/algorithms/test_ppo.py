"""PPO's credit and losses, put together as the learner uses them."""

import math

import pytest
import torch

from repo_exp.algorithms.interface import Credit, ReferenceLogprobs, Values
from repo_exp.algorithms.options.ppo import Options
from repo_exp.algorithms.ppo import Algorithm
from repo_exp.algorithms.registry import find, names
from repo_exp.errors import ConfigError
from tests.algorithms.parts import hyperparameters, minibatch, rollouts, rows_of, value_minibatch

HYPERPARAMETERS = hyperparameters("ppo", whiten_advantages=False)


def ppo(**changes) -> Algorithm:
    return Algorithm(Options(**HYPERPARAMETERS | changes))


def t(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


MASK = torch.tensor([[True, True, True]])
VALUE = t([[0.5, 0.6, 0.7]])


def credited(algorithm: Algorithm, total: float, value=VALUE, **known) -> Credit:
    return algorithm.credit(rollouts(t([total]), torch.tensor([0]), MASK, 8, value=value, **known))


def test_credit_by_hand() -> None:
    """The golden case: R = 2.4 at the third token."""
    credit = credited(ppo(), 2.4)
    torch.testing.assert_close(credit.advantage_BT, t([[1.72925, 1.715, 1.7]]))
    torch.testing.assert_close(credit.return_BT, t([[2.22925, 2.315, 2.4]]))


def test_credit_with_a_kl_by_hand() -> None:
    """k1 = [.2, -.1, .5], times .05 off the reward: r = [-.01, .005, .975]."""
    logp, reference, value = t([[-1, -0.5, -2]]), t([[-1.2, -0.4, -2.5]]), t([[0.1, 0.2, 0.3]])
    credit = credited(ppo(kl_coefficient=0.05), 1.0, value, old_logp=logp, reference_logp=reference)
    torch.testing.assert_close(credit.advantage_BT, t([[0.798937, 0.74625, 0.675]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(credit.return_BT, t([[0.898937, 0.94625, 0.975]]), atol=1e-6, rtol=0)


def test_a_response_that_does_not_end_loses_by_hand() -> None:
    """2.9 less .5 is the golden 2.4 for a response that was cut off; one that ended keeps its 2.4."""
    algorithm = ppo(missing_eos_penalty=0.5)
    cut, ended = (
        credited(algorithm, total, finished=torch.tensor([finished])) for total, finished in ((2.9, False), (2.4, True))
    )
    torch.testing.assert_close(cut.advantage_BT, t([[1.72925, 1.715, 1.7]]))
    assert torch.equal(cut.advantage_BT.round(decimals=9), ended.advantage_BT.round(decimals=9))


def test_whitened_rewards_by_hand() -> None:
    """r = 0 0 3: mean 1, deviation sqrt(3). (r - 1) / sqrt(3) + 1 adds up to 3 again; gamma = lambda = 1, V = 0."""
    credit = credited(ppo(whiten_rewards=True, gae_lambda=1.0), 3.0, torch.zeros(1, 3).double())
    low, high = 1 - 1 / math.sqrt(3), 1 + 2 / math.sqrt(3)
    torch.testing.assert_close(credit.return_BT, t([[3.0, low + high, high]]))


def test_the_weight_of_the_kl_follows_its_target_and_survives_a_checkpoint() -> None:
    """k1 adds up to .6 in the one response, over a target of .3: .05 (1 + .2 * 1 / 10) from the next batch on."""
    known = {
        "old_logp": t([[-1, -0.5, -2]]),
        "reference_logp": t([[-1.2, -0.4, -2.5]]),
        "value": t([[0.1, 0.2, 0.3]]),
    }
    algorithm = ppo(kl_coefficient=0.05, kl_target=0.3, kl_horizon=10.0)
    first = credited(algorithm, 1.0, **known)
    torch.testing.assert_close(first.advantage_BT, t([[0.798937, 0.74625, 0.675]]), atol=1e-6, rtol=0)
    assert first.metrics == pytest.approx({"policy/kl_to_reference": 0.2, "policy/kl_coefficient": 0.05})
    second = credited(algorithm, 1.0, **known)
    assert second.metrics["policy/kl_coefficient"] == pytest.approx(0.051)
    assert second.advantage_BT[0, 2].item() == pytest.approx(1 - 0.051 * 0.5 - 0.3)
    other = ppo(kl_coefficient=0.05, kl_target=0.3, kl_horizon=10.0)
    other.restore(algorithm.state())
    assert other.kl_coefficient == algorithm.kl_coefficient == pytest.approx(0.051 * 1.02)
    fixed = ppo(kl_coefficient=0.05)
    credited(fixed, 1.0, **known)
    assert fixed.kl_coefficient == 0.05


def test_a_weight_of_zero_cannot_follow_a_target() -> None:
    (problem,) = Options(**HYPERPARAMETERS | {"kl_target": 6.0}).problems(None)
    assert "kl_coefficient=0.15" in problem.remedy
    assert not list(Options(**HYPERPARAMETERS | {"kl_target": 6.0, "kl_coefficient": 0.15}).problems(None))


def test_returns_are_taken_before_advantages_are_standardised() -> None:
    plain, whitened = credited(ppo(), 2.4), credited(ppo(whiten_advantages=True), 2.4)
    torch.testing.assert_close(plain.return_BT, whitened.return_BT)
    assert whitened.advantage_BT.mean().abs() < 1e-9


def test_only_a_kl_needs_a_reference() -> None:
    assert ppo().signals == (Values(),)
    assert ReferenceLogprobs() in ppo(kl_coefficient=0.1).signals


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_parts_of_a_step_add_up_to_the_step(aggregation) -> None:
    """Losses and metrics are shares of the step's tokens, so microbatches cannot change them."""
    torch.manual_seed(0)
    logp, old, advantage, value, returns = (torch.randn(4, 5).double() for _ in range(5))
    mask = torch.rand(4, 5) > 0.3
    algorithm = ppo()
    whole = minibatch(mask, advantage, old, aggregation=aggregation)
    loss, metrics = algorithm.policy_loss(logp, whole)
    parts = [algorithm.policy_loss(logp[r], rows_of(whole, r)) for r in ([0], [1, 2], [3])]
    torch.testing.assert_close(sum(loss for loss, _ in parts), loss)
    for name, figure in metrics.items():
        assert sum(metrics[name] for _, metrics in parts) == pytest.approx(figure, rel=1e-5)
    whole = value_minibatch(mask, returns, value, aggregation=aggregation)
    values = [algorithm.value_loss(logp[r], rows_of(whole, r)) for r in ([0], [1, 2], [3])]
    torch.testing.assert_close(sum(values), algorithm.value_loss(logp, whole))


def test_clips_can_be_uneven_doubled_and_left_out() -> None:
    """Ratio 1.3 under 1.28 counts 1.28; ratio 4 with A = -1 counts 3; a value that moved far is not clipped."""
    logp, old = t([[1.3, 4.0]]).log(), torch.zeros(1, 2).double()
    mask = torch.tensor([[True, True]])
    given = minibatch(mask, t([[1, -1]]), old)
    loss, metrics = ppo(clip_high=0.28, dual_clip=3.0).policy_loss(logp, given)
    assert loss.item() == pytest.approx((-1.28 + 3) / 2) and metrics["policy/clip_fraction"] == 1.0
    value, given = t([[1, 2]]), value_minibatch(mask, t([[2, 2]]), t([[0, 0]]))
    assert ppo(value_clip=None).value_loss(value, given).item() == pytest.approx(0.25)
    assert ppo(value_clip=0.2).value_loss(value, given).item() == pytest.approx(0.5 * 1.8**2)


def test_padding_takes_no_part_in_any_loss() -> None:
    algorithm, nan = ppo(), math.nan
    mask = torch.tensor([[True, True, False]])
    given = minibatch(mask, t([[1, 3, nan]]), t([[-1, -2, nan]]))
    loss, metrics = algorithm.policy_loss(t([[-1, -2, nan]]), given)
    assert loss.item() == pytest.approx(-2.0) and metrics["policy/ratio"] == pytest.approx(1.0)
    given = value_minibatch(mask, t([[1, 3, nan]]), t([[1, 1, nan]]))
    assert algorithm.value_loss(t([[1, 1, nan]]), given).item() == pytest.approx(0.5 * 4 / 2)


@pytest.mark.parametrize(
    ("hyperparameter", "value"),
    [("clip_low", 0), ("gamma", 1.1), ("passes", 0), ("value_clip", 0), ("kl_coefficient", -1), ("dual_clip", 1)],
)
def test_hyperparameters_out_of_range_are_refused(hyperparameter, value) -> None:
    with pytest.raises(ValueError, match=hyperparameter):
        ppo(**{hyperparameter: value})


def test_an_algorithm_is_found_by_its_file() -> None:
    assert {"grpo", "ppo", "sft"} <= set(names())
    assert hasattr(find("ppo"), "Algorithm") and not hasattr(find("sft"), "Algorithm")
    with pytest.raises(ConfigError, match="did you mean 'ppo'"):
        find("pop")
