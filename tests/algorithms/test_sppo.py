"""SPPO's credit and loss as the learner sees them; targets and errors are in tests/core/test_self_play.py."""

import math

import pytest
import torch

from repo_exp.algorithms.options.sppo import Options
from repo_exp.algorithms.sppo import Algorithm
from tests.algorithms.parts import hyperparameters, minibatch, rollouts, rows_of

NAN = math.nan


def sppo(**changes) -> Algorithm:
    return Algorithm(Options(**hyperparameters("sppo", **changes)))


def t(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_the_best_and_the_worst_are_learnt_from_with_their_targets() -> None:
    """Win rates .711307 and .288477 at a beta of .001; the golden case of five."""
    mask = torch.tensor([[True, True]] * 4 + [[True, False]])
    credit = sppo().credit(rollouts(t([1, 0.2, -0.5, 0.3, -1]), torch.zeros(5).long(), mask, 8))
    assert credit.kept_B.tolist() == [True, False, False, False, True]
    expected = t([[211.307] * 2, [0, 0], [0, 0], [0, 0], [-211.523, 0]])
    torch.testing.assert_close(credit.advantage_BT, expected, atol=1e-3, rtol=0)


def a_pair(*, target="win_rate", targets=(150, -200)):
    """s = 12 and -8, as sums over two tokens and over one."""
    mask = torch.tensor([[True, True], [True, False]])
    old = t([[-20, -10], [-5, NAN]])
    logp = t([[-12, -6], [-13, NAN]]).requires_grad_()
    advantage = t([[targets[0]] * 2, [targets[1], 0]])
    return sppo(target=target), logp, minibatch(mask, advantage, old, aggregation="sequence_sum")


@pytest.mark.parametrize(
    ("target", "targets", "golden"),
    [("win_rate", (150, -200), 27954), ("hard", (500, -500), 480208), ("single", (380, -380), 136904)],
)
def test_golden_losses(target, targets, golden) -> None:
    algorithm, logp, given = a_pair(target=target, targets=targets)
    loss, metrics = algorithm.policy_loss(logp, given)
    assert loss.item() == pytest.approx(golden)
    assert metrics["policy/margin"] == pytest.approx(20)


def test_the_gradient_is_the_distance_to_the_target_at_every_token() -> None:
    """12 - 150 = -138 and -8 + 200 = 192; padding has none."""
    algorithm, logp, given = a_pair()
    algorithm.policy_loss(logp, given)[0].backward()
    torch.testing.assert_close(logp.grad, t([[-138, -138], [192, 0]]))


def test_where_nothing_has_moved_the_loss_is_that_of_the_targets() -> None:
    """(150^2 + 200^2) / 2 = 31250, and the same twice in the mean of two prompts."""
    mask, old = torch.tensor([[True, True]] * 4), t([[-1, -2]] * 4)
    given = minibatch(mask, t([[150] * 2, [-200] * 2] * 2), old, aggregation="sequence_sum")
    assert sppo().policy_loss(old.clone(), given)[0].item() == pytest.approx(31250)


def test_parts_of_a_step_add_up_to_the_step() -> None:
    torch.manual_seed(0)
    logp, old, advantage = (torch.randn(4, 3).double() for _ in range(3))
    mask = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [True, True, True]])
    whole = minibatch(mask, advantage[:, :1] * mask, old, aggregation="sequence_sum")
    loss, metrics = sppo().policy_loss(logp, whole)
    parts = [sppo().policy_loss(logp[rows], rows_of(whole, rows)) for rows in ([0, 1], [2], [3])]
    torch.testing.assert_close(sum(loss for loss, _ in parts), loss)
    for name, figure in metrics.items():
        assert sum(metrics[name] for _, metrics in parts) == pytest.approx(figure)


def test_a_prompt_without_a_loser_is_left_out() -> None:
    mask = torch.ones(5, 2, dtype=torch.bool)
    credit = sppo(target="hard").credit(rollouts(t([2, 2, 2, 1, 4]), torch.tensor([0, 0, 0, 1, 1]), mask, 8))
    assert credit.kept_B.tolist() == [False, False, False, True, True]
    assert credit.advantage_BT[:, 0].tolist() == [0, 0, 0, -500, 500]


def test_it_needs_no_reference_since_the_old_policy_is_it() -> None:
    assert sppo().signals == () and sppo().followers == () and sppo().group_size == 5


@pytest.mark.parametrize(("hyperparameter", "value"), [("beta", 0), ("target", "soft"), ("group_size", 1)])
def test_hyperparameters_out_of_range_are_refused(hyperparameter, value) -> None:
    with pytest.raises(ValueError, match=hyperparameter):
        sppo(**{hyperparameter: value})
