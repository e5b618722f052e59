"""The learning rate by hand and against torch's schedulers, and an AdamW that has every setting."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from repo_exp.training.optimizer import build, rate_factor
from tests.training.toy import OPTIMIZER


def settings(schedule: str, warmup: int = 0):
    return replace(OPTIMIZER, schedule=schedule, warmup_steps=warmup)


def test_the_warm_up_rises_linearly_and_reaches_one_behind_its_last_step() -> None:
    found = [rate_factor(step, 100, settings("constant", 3)) for step in range(6)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("schedule", "factors"), [("linear", [1.0, 0.75, 0.5, 0.25]), ("cosine", [1.0, 0.853553, 0.5, 0.146447])]
)
def test_a_schedule_begins_behind_the_warm_up_and_by_hand(schedule, factors) -> None:
    """Two steps of warm-up, then four of the schedule: progress 0, 1/4, 2/4, 3/4."""
    found = [rate_factor(step, 6, settings(schedule, 2)) for step in range(2, 6)]
    assert found == pytest.approx(factors, abs=1e-6)


@pytest.mark.parametrize("total", [1, 7, 20])
def test_without_a_warm_up_the_schedules_are_those_of_torch(total) -> None:
    for schedule, reference in (
        ("linear", lambda each: lr_scheduler.LinearLR(each, 1.0, 0.0, total_iters=total)),
        ("cosine", lambda each: lr_scheduler.CosineAnnealingLR(each, T_max=total)),
    ):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler, expected = reference(optimizer), []
        for _ in range(total):
            expected.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert [rate_factor(step, total, settings(schedule)) for step in range(total)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_training_that_is_shorter_than_its_warm_up_has_rates_all_the_same(schedule) -> None:
    found = [rate_factor(step, 2, settings(schedule, 5)) for step in range(7)]
    assert found[:2] == pytest.approx([1 / 6, 2 / 6]) and all(0 <= factor <= 1 for factor in found[:6])


def test_every_setting_reaches_adamw_and_a_step_is_the_textbooks() -> None:
    """Gradient 2: m = .2, v = .2; unbiased 2 and 4 (beta 0.9, 0.95). w = 1 - .1 * .5 - .1 * 2 / (2 + .5)."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build([weight], replace(OPTIMIZER, eps=0.5, weight_decay=0.5), learning_rate=0.1)
    (group,) = optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"], group["lr"]) == ((0.9, 0.95), 0.5, 0.5, 0.1)
    weight.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.05 - 0.1 * 2 / 2.5)
