"""What every learner shares: its steps, its optimisers, its history, and a checkpoint that resumes exactly.

All draws hang on (seed, step), so a checkpoint needs no random state: master weights, the optimisers and
the number of steps done are everything. Lightning loads and saves them; this module says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import lightning as L
from torch import Tensor

from repo_exp import stopping
from repo_exp.config.schema import Optimizer
from repo_exp.errors import NotFiniteError
from repo_exp.learner.guard import StepGuard, check_checkpoint
from repo_exp.learner.optimiser import MasterWeights, build, rate_factor
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.sampler import derived_seed

Metrics = dict[str, float]


class Learner(L.LightningModule):
    """A LightningModule with manual optimisation over the adapters of some roles.

    Args:
        backbone: holds the roles; only the ones that learn are written to checkpoints.
        stage: the name under which metrics are reported.
        rates: learning rate by role that learns.
        optimizer: the ``optimizer`` section.
        steps: how many steps there are to do.
        seed: what every draw of this learner hangs on.
        report: is told (step, metrics) after each step.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        stage: str,
        rates: Mapping[str, float],
        optimizer: Optimizer,
        steps: int,
        seed: int,
        report: Callable[[int, Metrics], None],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False
        self.backbone, self.stage, self.options, self.steps, self.seed = backbone, stage, optimizer, steps, seed
        self.rates, self.report = dict(rates), report
        self.guard = StepGuard(stage, optimizer, self.rates)
        self.masters = {role: MasterWeights(backbone.parameters_of(role).values()) for role in rates}
        for role, master in self.masters.items():
            self.add_module(f"master_{role}", master)
        self.done = 0
        self.changing = False  # is a step half done?
        self.history: list[Metrics] = []

    # -- one step --------------------------------------------------------------------------------------

    def learn(self, step: int) -> Metrics:
        """Do one step of learning; return its metrics."""
        raise NotImplementedError

    def training_step(self, step: int, _: int) -> None:
        """Do one step and write it down. A stop that comes while the weights change waits for the end of the step.

        Raises:
            NotFiniteError: something is not finite, and the stage cannot go on.
            Stopped: a signal came meanwhile.
        """
        skipped = self.guard.skipped.total()
        try:
            metrics = self.learn(step)
            self.change()
            metrics["optim/skipped_steps"] = self.guard.skipped.total() - skipped
            if step + 1 == self.steps:
                self.guard.finish()
            self.history.append({"step": step + 1, **metrics})
            self.done = step + 1
            self.report(self.done, metrics)
        except NotFiniteError as error:
            stopping.release(failed=True)
            raise error.during(f"step {step + 1} of {self.steps}") from error
        except BaseException:
            stopping.release(failed=True)
            raise
        self.changing = False
        stopping.release()

    def change(self) -> None:
        """Say that from here on the step changes what a checkpoint keeps."""
        stopping.hold()
        self.changing = True

    def backward(self, loss: Tensor, *_: Any, **__: Any) -> None:
        """Run the backward pass; called through ``manual_backward``."""
        loss.backward()

    def apply_gradients(
        self, role: str, *, progress: tuple[int, int], loss: float, batch: Callable[[], Sequence[str]]
    ) -> float:
        """Clip the collected gradients, step the optimiser of ``role``, publish; return the norm before clipping.

        Where the loss or the norm is not finite the step is skipped; see :mod:`guard`.

        Args:
            role: whose gradients they are.
            progress: optimiser steps done before, and of the whole stage.
            loss: that the gradients are of.
            batch: names what the step learns from, for messages.

        Raises:
            NotFiniteError: too many steps were skipped, or the step made weights that are not finite.
        """
        self.change()
        optimisers = self.optimizers()
        optimisers = optimisers if isinstance(optimisers, list) else [optimisers]
        optimiser = optimisers[list(self.masters).index(role)]
        for group in optimiser.param_groups:
            group["lr"] = self.rates[role] * rate_factor(*progress, self.options)
        master, step = self.masters[role], progress[0]
        norm = master.clip(self.options.clip_norm)
        allowed = self.guard.allows(role, step=step, loss=loss, norm=norm, batch=batch)
        if allowed:
            optimiser.step()
            self.guard.check_weights(role, master.length(), step=step, batch=batch)
        optimiser.zero_grad(set_to_none=True)
        if allowed:
            master.publish()
        return norm

    def derived(self, *parts: object) -> int:
        """Return a seed for one purpose of this learner."""
        return derived_seed(self.seed, self.stage, *parts)

    # -- what Lightning asks for -----------------------------------------------------------------------

    def configure_optimizers(self) -> list:
        """One optimiser a role."""
        return [build(master, self.options, learning_rate=self.rates[role]) for role, master in self.masters.items()]

    def train_dataloader(self) -> Steps:
        """Yield the numbers of the steps that are still to do."""
        return Steps(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what learns and leave the backbone out; refuse what is not finite.

        A subclass adds its own parts first, so that they are looked through as well.
        """
        kept = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("master_")}
        checkpoint["state_dict"] = kept
        checkpoint["learner"] = {"done": self.done, "history": self.history, "steps": self.guard.state()}
        check_checkpoint(checkpoint, stage=self.stage, remedy="the one before it stays")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up where the checkpoint was written."""
        check_checkpoint(checkpoint, stage=self.stage, remedy="remove it, and the stage begins anew")
        learner = checkpoint["learner"]
        self.done, self.history = learner["done"], list(learner["history"])
        self.guard.restore(learner.get("steps", {"taken": {}, "skipped": {}}))  # a version before kept none

    def on_train_start(self) -> None:
        """Let the adapters follow the master weights, which may have come from a checkpoint."""
        for module in self.children():
            if isinstance(module, MasterWeights):
                module.publish()


class Steps:
    """The numbers of the steps still to do. Sized, so that Lightning does not fetch one ahead."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def __len__(self) -> int:
        return self.learner.steps

    def __iter__(self) -> Iterator[int]:
        while self.learner.done < self.learner.steps:
            yield self.learner.done
