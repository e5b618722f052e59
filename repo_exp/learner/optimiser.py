"""AdamW on float32 master weights, for adapters that live in bfloat16.

An adapter in bfloat16 keeps three digits, so a step of a learning rate of 1e-6 would be rounded away.
The optimiser therefore works on float32 copies; after each step they are written back. Gradients of
microbatches are summed in float32 too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from repo_exp.config.schema import Optimizer
from repo_exp.core.consistency import moving_average


class MasterWeights(nn.Module):
    """float32 copies of parameters, which an optimiser owns and the live parameters follow.

    Parameters that are float32 already are their own master.
    """

    def __init__(self, live: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._live = list(live)  # not registered: the copies are what a checkpoint keeps
        self.weights = nn.ParameterList([nn.Parameter(p.detach().float().clone()) for p in self._live])

    @torch.no_grad()
    def collect(self) -> None:
        """Add the live gradients to the masters', and clear them."""
        for live, master in zip(self._live, self.weights, strict=True):
            if live.grad is not None:
                gradient = live.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                live.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Write the masters to the live parameters, rounded to their precision."""
        for live, master in zip(self._live, self.weights, strict=True):
            live.copy_(master)

    @torch.no_grad()
    def follow(self, others: MasterWeights, *, keep: float) -> None:
        """Move a step towards other weights of the same shape, and publish: each becomes their moving average."""
        for mine, other in zip(self.weights, others.weights, strict=True):
            mine.copy_(moving_average(mine, other, keep=keep))
        self.publish()

    def clip(self, norm: float) -> float:
        """Scale the gradients down to a global norm of at most ``norm``; return the norm they had."""
        return torch.nn.utils.clip_grad_norm_(self.weights, norm).item()

    @torch.no_grad()
    def length(self) -> float:
        """Return the global norm of the weights; NaN or infinite where one of them is."""
        return torch.stack(torch._foreach_norm(list(self.weights))).norm().item()


def build(master: MasterWeights, options: Optimizer, *, learning_rate: float) -> torch.optim.AdamW:
    """Return the optimiser of one role."""
    return torch.optim.AdamW(
        master.weights,
        lr=learning_rate,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        foreach=True,
    )


def rate_factor(step: int, total: int, options: Optimizer) -> float:
    """Return what the learning rate is multiplied with at ``step`` (from 0): warm-up, then the schedule.

    The warm-up rises linearly and reaches 1 after ``warmup_steps``; linear and cosine end near 0.
    """
    if step < options.warmup_steps:
        return (step + 1) / (options.warmup_steps + 1)
    progress = (step - options.warmup_steps) / max(total - options.warmup_steps, 1)
    if options.schedule == "linear":
        return 1 - progress
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0
