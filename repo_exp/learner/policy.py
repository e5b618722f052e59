"""What every way of learning a policy shares: the order of what there is, and what is kept on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

from repo_exp.learner.base import Learner, Metrics
from repo_exp.learner.phases import Phases
from repo_exp.models.backbone import Backbone


class PolicyLearner(Learner):
    """Learning on the backbone's ``policy`` role in updates; after some of them it is kept, to be measured later.

    Args:
        rollouts: replies that an update learns from: the currency of all methods.
        microbatch_tokens: tokens that a pass reads, unless one row, or twice what all contexts begin with, is more.
        keep: is handed the number of updates done, where the policy shall be kept as it is.
        kept: after which updates that is.

    Attributes:
        phases: where the time went; never part of a result.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        rollouts: int,
        microbatch_tokens: int,
        keep: Callable[[int], None] = lambda _: None,
        kept: Collection[int] = (),
        **common: Any,
    ) -> None:
        super().__init__(backbone, **common)
        self.rollouts, self.microbatch_tokens = rollouts, microbatch_tokens
        self.keep, self.kept = keep, frozenset(kept)
        self.phases = Phases()

    def update(self, step: int) -> Metrics:
        """Do one update; return its metrics."""
        raise NotImplementedError

    def learn(self, step: int) -> Metrics:
        """Do one update, and keep the policy if it is time to."""
        metrics = self.update(step)
        if step + 1 in self.kept:
            self.keep(step + 1)
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
