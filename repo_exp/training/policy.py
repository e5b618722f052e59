"""Shared by all ways of training a policy: the order of the data, and the copies of the policy that are kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from repo_exp.models.backbone import Backbone
from repo_exp.training.base import Metrics, TrainingModule, TrainingSettings


@dataclass(frozen=True, slots=True)
class Updates:
    """How long a policy is trained.

    Attributes:
        count: updates.
        rollouts: responses that an update trains on: the currency of all methods.
        save: is called with the number of finished updates, where the policy is to be saved as it is.
        save_after: the updates after which that is.
    """

    count: int
    rollouts: int
    save: Callable[[int], None] = lambda _: None
    save_after: Collection[int] = ()


class PolicyModule(TrainingModule):
    """Trains the backbone's ``policy`` role; a step is an update."""

    def __init__(self, backbone: Backbone, settings: TrainingSettings, updates: Updates) -> None:
        super().__init__(backbone, settings, steps=updates.count)
        self.updates = updates

    def update(self, step: int) -> Metrics:
        """Do one update; return its metrics."""
        raise NotImplementedError

    def train_step(self, step: int) -> Metrics:
        """Do one update, and save the policy if it is due."""
        metrics = self.update(step)
        if step + 1 in self.updates.save_after:
            self.updates.save(step + 1)
        return metrics

    def next_of(self, size: int, wanted: int, step: int) -> list[int]:
        """Return which of ``size`` items an update takes: the next ones of an order that is drawn for every epoch."""
        places = range(step * wanted, (step + 1) * wanted)
        orders = {epoch: self._order(size, epoch) for epoch in {place // size for place in places}}
        return [orders[place // size][place % size] for place in places]

    def _order(self, size: int, epoch: int) -> list[int]:
        order = list(range(size))
        random.Random(self.derived("order", epoch)).shuffle(order)
        return order
