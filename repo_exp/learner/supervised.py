"""Learning from examples: SFT, the reward model and the judge are this, with different objectives."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import torch

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.learner.base import Learner, Metrics
from repo_exp.learner.guard import REMEDY, shown
from repo_exp.learner.objectives import Objective
from repo_exp.models.backbone import Backbone


def step_count(items: int, *, epochs: int, batch_size: int) -> int:
    """Return how many optimiser steps ``epochs`` passes over ``items`` take; the last batch may be short."""
    return epochs * math.ceil(items / batch_size)


class SupervisedLearner(Learner):
    """Minimises an objective over items, in an order that hangs on the seed and the epoch."""

    def __init__(
        self,
        backbone: Backbone,
        objective: Objective,
        items: Sequence[Any],
        *,
        epochs: int,
        batch_size: int,
        microbatch_tokens: int,
        **common: Any,
    ) -> None:
        super().__init__(backbone, steps=step_count(len(items), epochs=epochs, batch_size=batch_size), **common)
        self.objective, self.items = objective, items
        self.batch_size, self.microbatch_tokens = batch_size, microbatch_tokens

    def places(self, step: int) -> list[int]:
        """Return the places of a step's items: a pure function of the seed and the step."""
        epoch, place = divmod(step, math.ceil(len(self.items) / self.batch_size))
        order = list(range(len(self.items)))
        random.Random(self.derived("order", epoch)).shuffle(order)
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, step: int) -> list[Any]:
        """Return the items of a step."""
        return [self.items[i] for i in self.places(step)]

    def named(self, step: int) -> list[str]:
        """Return a step's items as messages name them: their places among all, and the first words of each."""
        text = self.backbone.tokens.text
        return [shown("item", i, text(self.items[i].shown)) for i in self.places(step)]

    def learn(self, step: int) -> Metrics:
        """Take one optimiser step over one batch, cut into microbatches."""
        items, role, total = self.batch(step), self.objective.role, 0.0
        count = sum(map(self.objective.weight, items)) or 1.0  # items that all weigh 0 teach nothing
        for chosen in self.backbone.chunks([self.objective.sequences(item) for item in items], self.microbatch_tokens):
            with self.backbone.speaking(role, training=True):
                loss = self.objective.loss(self.backbone, [items[i] for i in chosen], count=count)
                self.manual_backward(loss)
            self.masters[role].collect()
            total += loss.item()
        progress = (step, self.steps)
        norm = self.apply_gradients(role, progress=progress, loss=total, batch=lambda: self.named(step))
        return {"loss/train": total, "grad/norm": norm}


@torch.no_grad()
def heldout_loss(backbone: Backbone, objective: Objective, items: Sequence[Any], *, microbatch_tokens: int) -> float:
    """Return the objective's mean loss over items that were not learnt from; NaN where there are none.

    Raises:
        NotFiniteError: there are, and the loss is not finite: the role is broken.
    """
    count, total = sum(map(objective.weight, items)) or 1.0, 0.0
    with backbone.speaking(objective.role):
        for chosen in backbone.chunks([objective.sequences(item) for item in items], microbatch_tokens):
            total += objective.loss(backbone, [items[i] for i in chosen], count=count).item()
    if items and not math.isfinite(total):
        problem = Problem(f"role {objective.role}", f"its loss on held-out items is {total:g}", REMEDY)
        raise NotFiniteError("what was learnt is not finite", [problem])
    return total if items else math.nan
