"""fp32 copies of weights that are stored in bfloat16.

An adapter in bfloat16 keeps three digits, so a step of a learning rate of 1e-6 would be rounded away. The optimizer
therefore works on fp32 copies; after each step they are written back. Gradients of microbatches are accumulated in fp32
too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from repo_exp.models.backbone import Backbone


class FP32Weights(nn.Module):
    """fp32 copies of parameters: what an optimizer steps and a checkpoint keeps. :meth:`sync` updates the live ones."""

    def __init__(self, live: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._live = list(live)  # not registered: the copies are what a checkpoint keeps
        self.weights = nn.ParameterList([nn.Parameter(p.detach().float().clone()) for p in self._live])

    @torch.no_grad()
    def accumulate(self) -> None:
        """Add the live gradients to those of the copies, and clear them."""
        for live, weight in zip(self._live, self.weights, strict=True):
            if live.grad is not None:
                gradient = live.grad.float()
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
                live.grad = None

    @torch.no_grad()
    def sync(self) -> None:
        """Write the copies to the live parameters, rounded to their precision."""
        for live, weight in zip(self._live, self.weights, strict=True):
            live.copy_(weight)

    def ema_update(self, others: FP32Weights, *, keep: float) -> None:
        """Become keep * self + (1 - keep) * others, and sync. With 0 this is a copy of the others, to the bit."""
        get_ema_multi_avg_fn(keep)(list(self.weights), list(others.weights), 0)
        self.sync()

    def clip(self, norm: float) -> float:
        """Scale the gradients down to a global norm of at most ``norm``; return the norm they had."""
        return float(torch.nn.utils.clip_grad_norm_(self.weights, norm).item())

    @torch.no_grad()
    def norm(self) -> float:
        """Return the global norm of the weights; NaN or infinite where one of them is."""
        return float(torch.stack(torch._foreach_norm(list(self.weights))).norm().item())


class RoleWeights(nn.ModuleDict):
    """The fp32 weights of some roles of a backbone, by role."""

    def __init__(self, backbone: Backbone, roles: Iterable[str]) -> None:
        super().__init__({role: FP32Weights(backbone.parameters_of(role).values()) for role in roles})

    def __getitem__(self, role: str) -> FP32Weights:
        weights = super().__getitem__(role)
        assert isinstance(weights, FP32Weights)
        return weights

    def sync(self) -> None:
        """Write the copies of every role to the live parameters."""
        for role in self:
            self[role].sync()
