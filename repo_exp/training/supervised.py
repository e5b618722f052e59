"""Supervised training: SFT, reward model, value model and judge, with different losses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from torch import Tensor

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.training.base import Metrics, TrainingModule, TrainingSettings
from repo_exp.training.batch import over_microbatches
from repo_exp.training.callbacks.guard import REMEDY, item_name
from repo_exp.training.losses import Item, SupervisedLoss

ItemT = TypeVar("ItemT", bound=Item)
Result = TypeVar("Result")


def step_count(items: int, *, epochs: int, batch_size: int) -> int:
    """Return how many optimizer steps ``epochs`` passes over ``items`` take; the last batch may be short."""
    return epochs * math.ceil(items / batch_size)


class SupervisedModule(TrainingModule, Generic[ItemT]):
    """Minimizes a loss over items, in an order that depends on the seed and the epoch."""

    def __init__(
        self,
        backbone: Backbone,
        loss: SupervisedLoss[ItemT],
        items: Sequence[ItemT],
        *,
        epochs: int,
        batch_size: int,
        settings: TrainingSettings,
    ) -> None:
        super().__init__(backbone, settings, steps=step_count(len(items), epochs=epochs, batch_size=batch_size))
        self.loss, self.items, self.batch_size = loss, items, batch_size

    def places(self, step: int) -> list[int]:
        """Return the places of a step's items: a pure function of the seed and the step."""
        epoch, place = divmod(step, math.ceil(len(self.items) / self.batch_size))
        order = list(range(len(self.items)))
        random.Random(self.derived("order", epoch)).shuffle(order)
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, step: int) -> list[ItemT]:
        """Return the items of a step."""
        return [self.items[i] for i in self.places(step)]

    def names(self, step: int) -> list[str]:
        """Return a step's items as messages name them: their places among all, and the first words of each."""
        text = self.backbone.tokens.text
        return [item_name("item", i, text(self.items[i].shown)) for i in self.places(step)]

    def train_step(self, step: int) -> Metrics:
        """Take one optimizer step over one batch."""
        items, role = self.batch(step), self.loss.role
        count = sum(map(self.loss.weight, items)) or 1.0  # if all items weigh 0 the loss is 0

        def loss(some: list[ItemT]) -> tuple[Tensor, Metrics]:
            return self.loss.loss(self.backbone, some, count=count), {}

        rows = [self.loss.sequences(item) for item in items]
        chunks = self.backbone.chunks(rows, self.settings.microbatch_tokens)
        batches = ([items[i] for i in places] for places in chunks)
        total, _ = self.accumulate(role, batches, loss, phase=f"train: {role}")
        norm = self.apply_gradients(role, progress=(step, self.steps), loss=total, names=lambda: self.names(step))
        return {"loss/train": total, "grad/norm": norm}


def over_items(
    backbone: Backbone,
    loss: SupervisedLoss[ItemT],
    items: Sequence[ItemT],
    run: Callable[[list[ItemT]], Result],
    *,
    microbatch_tokens: int,
) -> Iterator[tuple[list[int], Result]]:
    """Yield the places of each microbatch of items, and what ``run`` makes of these, without gradients."""
    rows = [loss.sequences(item) for item in items]
    yield from over_microbatches(
        backbone,
        loss.role,
        backbone.chunks(rows, microbatch_tokens),
        lambda places: (places, run([items[i] for i in places])),
    )


def heldout_loss(
    backbone: Backbone, loss: SupervisedLoss[ItemT], items: Sequence[ItemT], *, microbatch_tokens: int
) -> float:
    """Return the mean loss over items that were not trained on; NaN where there are none.

    Raises:
        NotFiniteError: there are, and the loss is not finite: the role is broken.
    """
    count, total = sum(map(loss.weight, items)) or 1.0, 0.0
    for _, value in over_items(
        backbone,
        loss,
        items,
        lambda some: loss.loss(backbone, some, count=count).item(),
        microbatch_tokens=microbatch_tokens,
    ):
        total += value
    if items and not math.isfinite(total):
        problem = Problem(f"role {loss.role}", f"its loss on held-out items is {total:g}", REMEDY)
        raise NotFiniteError("what was trained is not finite", [problem])
    return total if items else math.nan
