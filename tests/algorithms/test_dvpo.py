"""DVPO's credit and loss, put together as the learner uses them."""

import math

import pytest
import torch

from repo_exp.algorithms.dvpo import Algorithm
from repo_exp.algorithms.interface import ReferenceLogprobs, Values
from repo_exp.algorithms.options.dvpo import Options
from tests.algorithms.parts import hyperparameters, minibatch, rollouts, rows_of

HYPERPARAMETERS = hyperparameters("dvpo", whiten_advantages=False)
MASK = torch.tensor([[True, True, True]])
VALUE = torch.tensor([[0.2, 0.5, 0.8]], dtype=torch.float64)
LOGP = torch.tensor([[-1, -0.5, -2]], dtype=torch.float64)
REFERENCE = torch.tensor([[-1.2, -0.4, -2.5]], dtype=torch.float64)


def dvpo(**changes) -> Algorithm:
    return Algorithm(Options(**HYPERPARAMETERS | changes))


def credited(algorithm: Algorithm, total: float = 1.0) -> list[float]:
    seen = rollouts(
        torch.tensor([total]), torch.tensor([0]), MASK, 8, value=VALUE, old_logp=LOGP, reference_logp=REFERENCE
    )
    credit = algorithm.credit(seen)
    assert credit.return_BT is None  # no value learns
    return credit.advantage_BT[0].tolist()


def test_the_advantage_is_the_frozen_value_whatever_the_reward_was() -> None:
    assert credited(dvpo()) == credited(dvpo(), total=-7.0) == [0.2, 0.5, 0.8]
    assert credited(dvpo(whiten_advantages=True)) == pytest.approx([-1, 0, 1], abs=1e-6)


def test_the_released_form_has_the_kl_in_its_reward() -> None:
    """k1 = [.2, -.1, .5] times .1: A_3 = -.05 - .8; A_2 = .01 + .3 - .95 * .85; A_1 = -.02 + .3 - .95 * .4975."""
    found = credited(dvpo(advantage="released", kl_coefficient=0.1, kl_estimator="k1"))
    assert found == pytest.approx([-0.192625, -0.4975, -0.85])
    assert credited(dvpo(advantage="released", kl_coefficient=0.0)) == pytest.approx([-0.137, -0.46, -0.8])


def test_the_papers_form_has_the_kl_in_its_loss_and_the_released_one_has_not() -> None:
    """At ratio 1 the surrogate is minus the mean advantage, -0.5; the mean of k1 is 0.2, times 0.1."""
    given = minibatch(MASK, VALUE, LOGP, reference_logp=REFERENCE)
    loss, metrics = dvpo(kl_coefficient=0.1, kl_estimator="k1").policy_loss(LOGP, given)
    assert loss.item() == pytest.approx(-0.5 + 0.02) and metrics["policy/kl_to_reference"] == pytest.approx(0.2)
    loss, metrics = dvpo(advantage="released", kl_coefficient=0.1, kl_estimator="k1").policy_loss(LOGP, given)
    assert loss.item() == pytest.approx(-0.5) and metrics["policy/kl_to_reference"] == pytest.approx(0.2)


def test_it_asks_the_value_and_does_not_teach_it() -> None:
    for advantage, of in (("paper", "action"), ("released", "state")):
        algorithm = dvpo(advantage=advantage)
        assert algorithm.signals[0] == Values(train=False, of=of) and algorithm.trained_roles == ("policy",)
    assert ReferenceLogprobs() in dvpo().signals and dvpo(kl_coefficient=0.0).signals[1:] == ()


def test_parts_of_a_step_add_up_and_padding_takes_no_part() -> None:
    torch.manual_seed(0)
    logp, old, reference, advantage = (torch.randn(4, 5).double() for _ in range(4))
    mask = torch.rand(4, 5) > 0.3
    whole = minibatch(mask, advantage, old, reference_logp=reference)
    loss, metrics = dvpo().policy_loss(logp, whole)
    parts = [dvpo().policy_loss(logp[r], rows_of(whole, r)) for r in ([0], [1, 2], [3])]
    torch.testing.assert_close(sum(each for each, _ in parts), loss)
    for name, figure in metrics.items():
        assert sum(metrics[name] for _, metrics in parts) == pytest.approx(figure, rel=1e-5)
    blank = torch.full_like(logp, math.nan)
    blanked = (torch.where(mask, each, blank) for each in (logp, advantage, old, reference))
    logp, advantage, old, reference = blanked
    again, _ = dvpo().policy_loss(logp, minibatch(mask, advantage, old, reference_logp=reference))
    torch.testing.assert_close(again, loss)


@pytest.mark.parametrize(
    ("hyperparameter", "value"),
    [("clip_low", 0), ("advantage", "static"), ("value_targets", "td1"), ("value_epochs", 0)],
)
def test_hyperparameters_out_of_range_are_refused(hyperparameter, value) -> None:
    with pytest.raises(ValueError, match=hyperparameter):
        dvpo(**{hyperparameter: value})
