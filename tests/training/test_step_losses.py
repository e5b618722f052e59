"""The losses of one optimizer step: weights that belong to the whole step, figures of its credit, corrected tokens."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from repo_exp.algorithms.interface import Credit, Values
from repo_exp.config.schema import Correction
from repo_exp.training import steps
from repo_exp.training.steps import PolicyStep, credit_metrics, step_weights
from tests.algorithms.parts import rollouts

MASK = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
BATCH = rollouts(torch.zeros(3), torch.arange(3), MASK, 4)


@pytest.mark.parametrize(
    ("aggregation", "first", "last"),
    [
        ("token_mean", 1 / 5, 1 / 5),
        ("sequence_mean", 1 / 6, 1 / 4),
        ("sequence_sum", 1 / 2, 1 / 2),
        ("constant", 1 / 8, 1 / 8),
    ],
)
def test_a_step_weighs_its_own_rows_and_no_others(aggregation, first, last) -> None:
    """Responses 0 and 2, of 3 and 2 tokens: two responses, five tokens, at most four each. Response 1 weighs 0."""
    found = step_weights(BATCH, [0, 2], aggregation)
    assert found.tolist() == [pytest.approx([first] * 3), [0, 0, 0], pytest.approx([last, last, 0])]


def test_the_order_of_the_rows_of_a_step_changes_no_weight() -> None:
    assert torch.equal(step_weights(BATCH, [2, 0], "sequence_mean"), step_weights(BATCH, [0, 2], "sequence_mean"))


def test_a_response_without_any_advantage_is_counted_and_the_algorithms_figures_come_along() -> None:
    advantage = torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, -2, 0]])
    found = credit_metrics(BATCH, Credit(advantage, metrics={"policy/kl": 0.5}))
    assert found == {"credit/silent": pytest.approx(2 / 3), "policy/kl": 0.5}


def test_values_are_measured_at_response_tokens_alone() -> None:
    """Values 1 2 3 | 4 | 5 6: mean 3.5. Returns are the values and 1 more: an error without spread explains all."""
    value = torch.tensor([[1.0, 2, 3], [4, 99, 99], [5, 6, 99]])
    batch = BATCH.with_signal(Values(), value)
    found = credit_metrics(batch, Credit(torch.ones(3, 3), value + 1))
    assert found["value/mean"] == pytest.approx(3.5) and found["value/explained_variance"] == pytest.approx(1.0)
    frozen = credit_metrics(batch, Credit(torch.ones(3, 3)))
    assert "value/explained_variance" not in frozen and frozen["value/mean"] == pytest.approx(3.5)


class Whole:
    """A microbatch that is the whole step; the learner's passes are replaced by numbers."""

    layout, rows, width, mask, device = None, [0, 1, 2], 3, MASK, torch.device("cpu")

    @staticmethod
    def slice(x_BT):
        return x_BT


OLD = torch.full((3, 3), -1.0)
SAMPLER = torch.tensor([[-1.0, -1.0 - math.log(4), -1.0 + math.log(4)], [-1.0, 0, 0], [-1.0, -1.0, 0]])


def weighed(monkeypatch, correction, *, importance=None, old=OLD) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the weights that reach the algorithm's loss, and the metrics of the step; the policy says -1.5."""
    logp, found = torch.full((3, 3), -1.5), []
    monkeypatch.setattr(steps, "response_logp", lambda *args, **how: (logp, torch.full((3, 3), 0.7)))

    def policy_loss(logp_BT, minibatch):
        found.append(minibatch)
        return logp_BT.sum() * 0 + 2.0, {"own": 1.0}

    algorithm = SimpleNamespace(aggregation="token_mean", policy_loss=policy_loss)
    batch = SimpleNamespace(sampler_logp_BT=SAMPLER)
    credit = Credit(torch.ones(3, 3))
    update = SimpleNamespace(rollouts=BATCH, batch=batch, credit=credit, old_logp=old)
    step = PolicyStep(
        None, algorithm, update, [0, 1, 2], importance_BT=importance, temperature=1.0, correction=correction
    )
    loss, metrics = step(Whole())
    assert loss.item() == metrics["loss/policy"] == 2.0 and metrics["own"] == 1.0
    return found[0].weight_BT, metrics


@pytest.mark.parametrize(
    ("kind", "factors", "mean", "share"),
    [
        ("truncated", [[1, 2, 0.25], [1, 0, 0], [1, 1, 0]], 6.25 / 6, 1 / 6),
        ("masked", [[1, 0, 0], [1, 0, 0], [1, 1, 0]], 4 / 6, 2 / 6),
    ],
)
def test_a_correction_multiplies_the_weights_and_reports_what_it_did(monkeypatch, kind, factors, mean, share) -> None:
    """Ratios 1, 4 and 1/4 in the first response, 1 elsewhere; the cap is 2. Each of six tokens weighs a sixth."""
    weights, metrics = weighed(monkeypatch, Correction(kind=kind, cap=2.0))
    torch.testing.assert_close(weights, torch.tensor(factors) / 6)
    assert metrics["policy/correction_mean"] == pytest.approx(mean)
    assert metrics["policy/correction_share"] == pytest.approx(share)
    assert metrics["policy/sampler_gap"] == pytest.approx(2 * math.log(4) / 6)
    assert metrics["policy/entropy"] == pytest.approx(0.7)


@pytest.mark.parametrize("correction", [None, Correction(kind="none", cap=2.0)])
def test_without_a_correction_the_weights_are_those_of_the_aggregation(monkeypatch, correction) -> None:
    weights, metrics = weighed(monkeypatch, correction)
    torch.testing.assert_close(weights, MASK / 6)
    assert "policy/correction_mean" not in metrics


def test_importance_weights_and_a_correction_multiply(monkeypatch) -> None:
    importance = torch.tensor([[3.0, 1, 1], [0, 0, 0], [1, 1, 1]])
    weights, _ = weighed(monkeypatch, Correction(kind="truncated", cap=2.0), importance=importance)
    torch.testing.assert_close(weights, torch.tensor([[3, 2, 0.25], [0, 0, 0], [1, 1, 0]]) / 6)


def test_the_only_step_of_an_update_corrects_with_its_own_log_probabilities(monkeypatch) -> None:
    """The policy says -1.5 where the update kept nothing: the gap to a sampler of -1 is a half."""
    _, metrics = weighed(monkeypatch, None, old=None)
    first = abs(-1.5 - SAMPLER[0]).sum() + 3 * 0.5
    assert metrics["policy/sampler_gap"] == pytest.approx(first.item() / 6)
