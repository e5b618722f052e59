"""Training a policy on responses that it samples: collect -> signals -> credit -> steps.   B responses, T tokens."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Comparison, Credit, OldLogprobs, OnlineAlgorithm, RolloutBatch, Values, find
from repo_exp.algorithms.options.base import StepOptions
from repo_exp.core.masks import masked_mean
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.engine import Engine, Sampling
from repo_exp.training.agreement import UNCORRECTED, Mismatch, require_agreement
from repo_exp.training.base import Metrics, TrainingSettings
from repo_exp.training.batch import Microbatch, TrainingBatch, add_up, split
from repo_exp.training.collecting import Collector, Rewards
from repo_exp.training.followers import Followers
from repo_exp.training.policy import PolicyModule, Updates
from repo_exp.training.signals import SignalComputer
from repo_exp.training.steps import PolicyStep, Update, ValueStep, credit_metrics
from repo_exp.types import Prompt


class OnlineModule(PolicyModule):
    """Trains the ``policy`` role, and ``value`` where the algorithm trains a value network.

    Args:
        algorithm: computes credit and losses (``algorithms/<kind>.py``).
        prompts: each update takes the next ones of an order that depends on the seed.
        engine: samples the responses.
    """

    def __init__(
        self,
        backbone: Backbone,
        algorithm: OnlineAlgorithm[StepOptions],
        prompts: Sequence[Prompt],
        *,
        settings: TrainingSettings,
        updates: Updates,
        engine: Engine,
        sampling: Sampling,
        rewards: Rewards,
        mismatch: Mismatch = UNCORRECTED,
    ) -> None:
        super().__init__(backbone, settings, updates)
        self.algorithm, self.prompts, self.sampling, self.mismatch = algorithm, prompts, sampling, mismatch
        self.collector = Collector(engine, backbone.tokens, sampling, rewards, self.phases)
        self.followers = Followers(backbone, algorithm.followers)
        self.comparison, self.values = find(algorithm.signals, Comparison), find(algorithm.signals, Values)
        self.steps_per_update = algorithm.options.passes * algorithm.options.minibatches
        self.signals = SignalComputer(backbone, self.microbatches, temperature=sampling.temperature, phases=self.phases)

    def update(self, step: int) -> Metrics:
        """Sample responses to the next prompts, score them, and train on them."""
        role = self.algorithm.sampling_role
        prompts = [self.prompts[i] for i in self.upcoming(step)]
        version, seed = self.followers.version(role, step), self.derived("sample", step)
        trajectories, rewards, metrics = self.collector.collect(step, prompts, role=role, version=version, seed=seed)
        batch = TrainingBatch.of(trajectories, rewards)
        if batch is not None:  # without a single total there is nothing to train on; the metrics say so
            metrics |= self.train_on(step, batch)
        if self.followers.due(step + 1):
            self.begin_change()
            self.followers.update(step + 1, self.fp32_weights["policy"])
        return metrics

    def upcoming(self, step: int) -> list[int]:
        """Return which prompts an update takes, each as often as a group is large."""
        size = self.algorithm.group_size
        chosen = self.next_of(len(self.prompts), self.updates.rollouts // size, step)
        return [i for i in chosen for _ in range(size)]

    # -- training on the responses ------------------------------------------------------------------------------

    def train_on(self, step: int, batch: TrainingBatch) -> Metrics:
        """Compute signals and credit, and take the optimizer steps of one update."""
        algorithm, every_row = self.algorithm, range(len(batch))
        rollouts = self.precompute(step, batch)
        metrics: Metrics = {}
        value_loss: float | None = None
        if self.values is not None and Values not in rollouts:
            value_loss, value_BT = self.value_gradients(batch, rollouts, every_row, credit=None)
            rollouts, metrics["loss/value"] = rollouts.with_signal(self.values, value_BT), value_loss
        self.begin_change()  # an algorithm may keep state
        credit = algorithm.credit(rollouts)
        metrics |= credit_metrics(rollouts, credit)
        sums: Metrics = {}
        planned, taken = self.steps * self.steps_per_update, 0
        for rows in self.minibatches(step, batch, credit):
            progress = (step * self.steps_per_update + taken, planned)
            add_up(sums, self.optimize(Update(step, batch, rollouts, credit), rows, progress, value_loss))
            taken += 1
        # steps may be fewer than planned where few responses can be trained on
        return metrics | {name: value / taken for name, value in sums.items()}

    def precompute(self, step: int, batch: TrainingBatch) -> RolloutBatch:
        """Return the signals of an update. What a single step computes anyway is not computed before it."""
        signals = [signal for signal in self.algorithm.signals if not isinstance(signal, Comparison)]
        if self.steps_per_update > 1 and find(signals, OldLogprobs) is None:
            signals.append(OldLogprobs())
        if self.values is not None and self.values.train and self.values.separable and self.steps_per_update == 1:
            signals.remove(self.values)
        rollouts = self.signals.batch(batch, signals, max_tokens=self.sampling.max_new_tokens)
        if OldLogprobs in rollouts:
            gap_BT = (rollouts[OldLogprobs] - batch.sampler_logp_BT).abs()
            self._require_agreement(step, masked_mean(gap_BT, batch.mask_BT).item())
        return rollouts

    def minibatches(self, step: int, batch: TrainingBatch, credit: Credit) -> Iterator[list[int]]:
        """Yield the rows of each optimizer step of an update."""
        kept = range(len(batch)) if credit.kept_B is None else credit.kept_B.nonzero().squeeze(1).tolist()
        units = batch.grouped(kept) if self.algorithm.unit == "group" else [[i] for i in kept]
        for number in range(self.algorithm.options.passes):
            order = list(units)
            random.Random(self.derived("minibatch", step, number)).shuffle(order)
            yield from split(order, self.algorithm.options.minibatches)

    def optimize(
        self, update: Update, rows: Sequence[int], progress: tuple[int, int], value_loss: float | None
    ) -> Metrics:
        """Take one optimizer step of each role on some rows; ``value_loss`` is there if its gradients are."""
        batch = update.batch
        importance_BT, sums = self.importance(update, rows)
        step_loss = PolicyStep(
            self.backbone,
            self.algorithm,
            update,
            rows,
            importance_BT=importance_BT,
            temperature=self.sampling.temperature,
            correction=self.mismatch.correction,
        )
        losses: dict[str, float] = {}
        losses["policy"], metrics = self.accumulate(
            "policy", self.microbatches(batch, rows), step_loss, phase="train: policy"
        )
        sums |= metrics
        if update.old_logp is None:
            self._require_agreement(update.step, sums["policy/sampler_gap"])
        if "value" in self.learning_rates:
            if value_loss is None:
                value_loss, _ = self.value_gradients(batch, update.rollouts, rows, credit=update.credit)
                sums["loss/value"] = value_loss
            losses["value"] = value_loss
        with self.phases("optimizer"):
            for role in self.learning_rates:
                sums[f"grad/{role}_norm"] = self.apply_gradients(
                    role, progress=progress, loss=losses[role], names=lambda: self.signals.names(batch, rows)
                )
        return sums

    def value_gradients(
        self, batch: TrainingBatch, rollouts: RolloutBatch, rows: Sequence[int], *, credit: Credit | None
    ) -> tuple[float, Tensor]:
        """Accumulate the value network's gradients; return the loss, and the values of these rows: (B, T)."""
        assert self.values is not None
        loss = ValueStep(self.backbone, self.algorithm, rollouts, rows, signal=self.values, credit=credit)
        total, _ = self.accumulate("value", self.microbatches(batch, rows), loss, phase="train: value")
        return total, loss.value_BT

    def importance(self, update: Update, rows: Sequence[int]) -> tuple[Tensor | None, Metrics]:
        """Return the algorithm's importance weights of a step, (B, T), and metrics; None without a comparison."""
        if self.comparison is None:
            return None, {}
        weight_BT, seed = torch.zeros(update.batch.mask_BT.shape), self.derived("compare", update.step)
        tokens = self.signals.compare(self.comparison, update, rows, seed=seed)
        weight_BT[list(rows)], metrics = self.algorithm.token_weights(tokens)
        return weight_BT, metrics

    def microbatches(self, batch: TrainingBatch, rows: Sequence[int]) -> Iterator[Microbatch]:
        """Yield rows of a batch, laid out for forward passes."""
        tokens, whole_groups = self.settings.microbatch_tokens, self.algorithm.unit == "group"
        return batch.microbatches(rows, self.backbone, tokens=tokens, whole_groups=whole_groups)

    def _require_agreement(self, step: int, gap: float) -> None:
        """Stop before training on responses whose log-probabilities differ in training. An older copy may differ.

        A gap that is not finite comes from such a loss, which the guard of the step handles.
        """
        if math.isfinite(gap) and self.followers.is_policy(self.algorithm.sampling_role, step):
            dtype, temperature = self.backbone.model.dtype, self.sampling.temperature
            require_agreement(gap, dtype=dtype, temperature=temperature, bound=self.mismatch.max_gap)

    # -- what a checkpoint keeps besides weights ---------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the algorithm's state."""
        checkpoint["algorithm"] = self.algorithm.state()
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        super().on_load_checkpoint(checkpoint)
        self.algorithm.restore(checkpoint["algorithm"])
