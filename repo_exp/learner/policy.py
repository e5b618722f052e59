"""What every way of learning a policy shares: the order of what there is, and the policy's capability on the way."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from repo_exp.learner.base import Learner, Metrics
from repo_exp.learner.phases import Phases
from repo_exp.models.backbone import Backbone


class PolicyLearner(Learner):
    """Learning on the backbone's ``policy`` role in updates, measured every few of them.

    Args:
        rollouts: replies that an update learns from: the currency of all methods.
        microbatch_tokens: tokens that a pass reads, unless one row, or twice what all contexts begin with, is more.
        capability: measures the policy on held-out contexts; called every ``capability_every`` updates.

    Attributes:
        phases: where the time went; never part of a result.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        rollouts: int,
        microbatch_tokens: int,
        capability: Callable[[], Metrics],
        capability_every: int,
        **common: Any,
    ) -> None:
        super().__init__(backbone, **common)
        self.rollouts, self.microbatch_tokens = rollouts, microbatch_tokens
        self.capability, self.capability_every = capability, capability_every
        self.phases = Phases()

    def update(self, step: int) -> Metrics:
        """Do one update; return its metrics."""
        raise NotImplementedError

    def learn(self, step: int) -> Metrics:
        """Do one update, and measure the policy if it is time to."""
        if step == 0 and self.capability_every:
            before = self.capability()
            self.history.append({"step": 0, **before})
            self.report(0, before)
        metrics = self.update(step)
        if self.capability_every and ((step + 1) % self.capability_every == 0 or step + 1 == self.steps):
            metrics |= self.capability()
        return metrics

    def next_of(self, size: int, wanted: int, step: int) -> list[int]:
        """Return which of ``size`` things this update takes: the next ones, in an order drawn anew each time round."""
        places = range(step * wanted, (step + 1) * wanted)
        orders = {epoch: self._order(size, epoch) for epoch in {place // size for place in places}}
        return [orders[place // size][place % size] for place in places]

    def _order(self, size: int, epoch: int) -> list[int]:
        order = list(range(size))
        random.Random(self.derived("order", epoch)).shuffle(order)
        return order
