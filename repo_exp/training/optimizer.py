"""AdamW and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from repo_exp.config.schema import Optimizer


def build(weights: Iterable[nn.Parameter], options: Optimizer, *, learning_rate: float) -> torch.optim.AdamW:
    """Return the optimizer of one role."""
    return torch.optim.AdamW(
        weights,
        lr=learning_rate,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        foreach=True,
    )


def rate_factor(step: int, total: int, options: Optimizer) -> float:
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
