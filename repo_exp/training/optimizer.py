"""AdamW and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW and its schedule, without the learning rates.

    Attributes:
        clip_norm: a longer gradient is scaled down to this norm.
        warmup_steps: steps in which the learning rate rises from 0.
    """

    betas: tuple[float, float]
    eps: float
    weight_decay: float
    clip_norm: float
    warmup_steps: int
    schedule: Literal["constant", "linear", "cosine"]


def build(weights: Iterable[nn.Parameter], options: OptimizerSettings, *, learning_rate: float) -> torch.optim.AdamW:
    """Return the optimizer of one role."""
    return torch.optim.AdamW(
        weights,
        lr=learning_rate,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        foreach=True,
    )


def rate_factor(step: int, total: int, options: OptimizerSettings) -> float:
    """Return what the learning rate is multiplied by at ``step`` (from 0): warm-up, then the schedule.

    The warm-up rises linearly and reaches 1 after ``warmup_steps``; linear and cosine end near 0. A function of the
    step alone, so that skipped steps and resumed runs need no state.
    """
    if step < options.warmup_steps:
        return (step + 1) / (options.warmup_steps + 1)
    progress = (step - options.warmup_steps) / max(total - options.warmup_steps, 1)
    if options.schedule == "linear":
        return 1 - progress
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0
