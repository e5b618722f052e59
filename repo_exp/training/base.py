"""Shared by every training loop: its steps, its optimizers, its history, and a checkpoint that resumes exactly.

All draws depend on (seed, step) alone, so a checkpoint needs no random state: fp32 weights, the optimizers and the
number of finished steps are everything. Lightning loads and saves them; this module says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import lightning as L
import torch
from torch import Tensor

from repo_exp import stopping
from repo_exp.errors import NotFiniteError
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.seeds import derived_seed
from repo_exp.training.batch import add_up, over_microbatches
from repo_exp.training.callbacks.guard import StepGuard, check_checkpoint
from repo_exp.training.fp32_weights import RoleWeights
from repo_exp.training.optimizer import OptimizerSettings, build, rate_factor
from repo_exp.training.timing import PhaseTimer

Metrics = dict[str, float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The settings of every training loop.

    Attributes:
        stage: the name under which metrics are reported. It is part of every seed.
        learning_rates: by role that is trained.
        optimizer: AdamW and its schedule.
        max_skipped_steps: steps of a role that may be skipped, for a loss or gradient that is not finite, before
            training stops.
        seed: what every draw depends on.
        microbatch_tokens: tokens of a forward pass, unless one row, or twice the prefix that all prompts share, is
            more.
        report: is called with (step, metrics) after each step.
    """

    stage: str
    learning_rates: Mapping[str, float]
    optimizer: OptimizerSettings
    max_skipped_steps: int
    seed: int
    microbatch_tokens: int
    report: Callable[[int, Metrics], None]


class TrainingModule(L.LightningModule):
    """A LightningModule with manual optimization over the adapters of some roles.

    Args:
        backbone: holds the roles; only those that are trained are written to checkpoints.
        settings: see :class:`TrainingSettings`.
        steps: how many steps there are to do.

    Attributes:
        done: finished steps.
        changing: is a step half done?
        history: the metrics of every finished step.
        phases: where the time went; never part of a result.
    """

    def __init__(self, backbone: Backbone, settings: TrainingSettings, *, steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False
        self.backbone, self.settings, self.steps = backbone, settings, steps
        self.stage, self.learning_rates = settings.stage, dict(settings.learning_rates)
        self.guard = StepGuard(
            settings.stage,
            settings.optimizer,
            self.learning_rates,
            max_skipped_steps=settings.max_skipped_steps,
        )
        self.fp32_weights = RoleWeights(backbone, self.learning_rates)
        self.phases = PhaseTimer()
        self.done = 0
        self.changing = False
        self.history: list[Metrics] = []

    # -- one step --------------------------------------------------------------------------------------

    def train_step(self, step: int) -> Metrics:
        """Do one step; return its metrics."""
        raise NotImplementedError

    def training_step(self, step: int, _: int) -> None:
        """Do one step and record it. A stop that comes while the weights change waits for the end of the step.

        Raises:
            NotFiniteError: something is not finite, and the stage cannot go on.
            Stopped: a signal came meanwhile.
        """
        skipped = self.guard.skipped.total()
        try:
            metrics = self.train_step(step)
            self.begin_change()
            metrics["optim/skipped_steps"] = self.guard.skipped.total() - skipped
            if step + 1 == self.steps:
                self.guard.finish()
            self.history.append({"step": step + 1, **metrics})
            self.done = step + 1
            self.settings.report(self.done, metrics)
        except NotFiniteError as error:
            stopping.release(failed=True)
            raise error.during(f"step {step + 1} of {self.steps}") from error
        except BaseException:
            stopping.release(failed=True)
            raise
        self.changing = False
        stopping.release()

    def begin_change(self) -> None:
        """Say that from here on the step changes what a checkpoint keeps."""
        stopping.hold()
        self.changing = True

    def backward(self, loss: Tensor, *_: Any, **__: Any) -> None:
        """Run the backward pass; called through ``manual_backward``."""
        loss.backward()

    def accumulate(
        self,
        role: str,
        microbatches: Iterable[T],
        loss: Callable[[T], tuple[Tensor, Metrics]],
        *,
        phase: str,
    ) -> tuple[float, Metrics]:
        """Accumulate the gradients of a step over its microbatches; return the step's loss and metrics.

        Args:
            role: whose loss it is; its weights, and no others, take gradients.
            loss: of a microbatch, with metrics; both add up over the step.
            phase: the name under which the time is counted.
        """

        def backward(microbatch: T) -> tuple[float, Metrics]:
            value, metrics = loss(microbatch)
            self.manual_backward(value)
            return value.item(), metrics

        total, sums = 0.0, Metrics()
        for value, metrics in over_microbatches(
            self.backbone, role, microbatches, backward, training=True, timed=lambda: self.phases(phase)
        ):
            self.fp32_weights[role].accumulate()
            total += value
            add_up(sums, metrics)
        return total, sums

    def apply_gradients(
        self, role: str, *, progress: tuple[int, int], loss: float, names: Callable[[], Sequence[str]]
    ) -> float:
        """Clip the accumulated gradients, step the optimizer of ``role``, sync; return the norm before clipping.

        Where the loss or the norm is not finite the step is skipped; see :mod:`callbacks.guard`.

        Args:
            role: whose gradients they are.
            progress: optimizer steps done before, and of the whole stage.
            loss: that the gradients are of.
            names: names what the step trains on, for messages.

        Raises:
            NotFiniteError: too many steps were skipped, or the step made weights that are not finite.
        """
        self.begin_change()
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        optimizer = optimizers[list(self.learning_rates).index(role)]
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rates[role] * rate_factor(*progress, self.settings.optimizer)
        weights, step = self.fp32_weights[role], progress[0]
        norm = weights.clip(self.settings.optimizer.clip_norm)
        allowed = self.guard.allows(role, step=step, loss=loss, norm=norm, names=names)
        if allowed:
            optimizer.step()
            self.guard.check_weights(role, weights.norm(), step=step, names=names)
        optimizer.zero_grad(set_to_none=True)
        if allowed:
            weights.sync()
        return norm

    def derived(self, *parts: object) -> int:
        """Return a seed for one purpose of this stage. The parts, texts included, are what it depends on."""
        return derived_seed(self.settings.seed, self.stage, *parts)

    # -- what Lightning asks for -----------------------------------------------------------------------

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer for each role."""
        return [
            build(self.fp32_weights[role].weights, self.settings.optimizer, learning_rate=rate)
            for role, rate in self.learning_rates.items()
        ]

    def train_dataloader(self) -> Steps:
        """Yield the numbers of the steps that are still to do."""
        return Steps(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained and leave the backbone out; refuse what is not finite.

        A subclass adds its own parts first, so that they are checked as well.
        """
        weights = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith("backbone.")}
        checkpoint["state_dict"] = weights
        checkpoint["progress"] = {"done": self.done, "history": self.history, "steps": self.guard.state()}
        check_checkpoint(checkpoint, stage=self.stage, remedy="the one before it stays")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Resume where the checkpoint was written."""
        check_checkpoint(checkpoint, stage=self.stage, remedy="remove it, and the stage starts again")
        progress = checkpoint["progress"]
        self.done, self.history = progress["done"], list(progress["history"])
        self.guard.restore(progress["steps"])

    def on_train_start(self) -> None:
        """Sync the adapters with the fp32 weights, which may have come from a checkpoint."""
        for module in self.modules():
            if isinstance(module, RoleWeights):
                module.sync()


class Steps:
    """The numbers of the steps still to do. Sized, so that Lightning does not fetch one ahead."""

    def __init__(self, module: TrainingModule) -> None:
        self.module = module

    def __len__(self) -> int:
        return self.module.steps

    def __iter__(self) -> Iterator[int]:
        while self.module.done < self.module.steps:
            yield self.module.done
