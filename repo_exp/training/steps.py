"""The losses of one optimizer step, microbatch by microbatch: the policy's and the value network's.

Token weights belong to the whole step, so that losses and metrics of microbatches add up.   B responses, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repo_exp.algorithms.interface import (
    Credit,
    Metrics,
    Minibatch,
    OldLogprobs,
    OnlineAlgorithm,
    RolloutBatch,
    ValueMinibatch,
    Values,
)
from repo_exp.algorithms.options.base import StepOptions
from repo_exp.config.schema import Correction
from repo_exp.core.choices import Aggregation
from repo_exp.core.correction import sampler_correction
from repo_exp.core.diagnostics import explained_variance
from repo_exp.core.masks import aggregation_weights, masked_mean, weighted_sum
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import response_logp, response_values
from repo_exp.training.batch import Microbatch, TrainingBatch


@dataclass(frozen=True, slots=True)
class Update:
    """An update's responses, their signals and their credit.

    Attributes:
        step: its number, from 0.
        batch: the responses as tokens.
        rollouts: the same as the algorithm reads them.
        credit: what the algorithm made of them.
    """

    step: int
    batch: TrainingBatch
    rollouts: RolloutBatch
    credit: Credit

    @property
    def old_logp(self) -> Tensor | None:
        """The policy's log-probabilities before the update; None where its only step computes them."""
        return self.rollouts.get(OldLogprobs)


def step_weights(rollouts: RolloutBatch, rows: Sequence[int], aggregation: Aggregation) -> Tensor:
    """Return the weight of each token in a step that trains on some rows: (B, T), 0 in the others."""
    i, mask_BT = list(rows), rollouts.mask_BT
    weight_BT = torch.zeros(mask_BT.shape)
    weight_BT[i] = aggregation_weights(mask_BT[i], aggregation, longest=rollouts.max_tokens)
    return weight_BT


def credit_metrics(rollouts: RolloutBatch, credit: Credit) -> Metrics:
    """Return what the dashboard shows of an update's credit: responses with an advantage of zero, and values."""
    # the metric's name is older than its meaning: the zero-advantage fraction
    metrics = {"credit/silent": (credit.advantage_BT.abs().amax(1) == 0).float().mean().item(), **credit.metrics}
    if Values in rollouts:
        value_BT, mask_BT = rollouts[Values], rollouts.mask_BT
        if credit.return_BT is not None:
            metrics["value/explained_variance"] = explained_variance(value_BT, credit.return_BT, mask_BT).item()
        metrics["value/mean"] = masked_mean(value_BT, mask_BT).item()
    return metrics


class PolicyStep:
    """The policy's loss in one optimizer step; called with each of its microbatches.

    Args:
        rows: the responses of the step.
        importance_BT: what ``token_weights`` made of them; None is 1.
        correction: what is done where sampler and training compute other probabilities; None is nothing.
    """

    def __init__(
        self,
        backbone: Backbone,
        algorithm: OnlineAlgorithm[StepOptions],
        update: Update,
        rows: Sequence[int],
        *,
        importance_BT: Tensor | None,
        temperature: float,
        correction: Correction | None,
    ) -> None:
        self.backbone, self.algorithm, self.update = backbone, algorithm, update
        self.temperature, self.correction = temperature, correction
        self.weight_BT = step_weights(update.rollouts, rows, algorithm.aggregation)
        self.share_BT = step_weights(update.rollouts, rows, "token_mean")
        self.importance_BT = importance_BT

    def __call__(self, microbatch: Microbatch) -> tuple[Tensor, Metrics]:
        """Return the loss, and metrics."""
        logp_BT, entropy_BT = response_logp(
            self.backbone, microbatch.layout, temperature=self.temperature, with_entropy=True
        )
        assert entropy_BT is not None
        old_logp_BT = self.update.old_logp
        old_logp_BT = logp_BT.detach() if old_logp_BT is None else microbatch.slice(old_logp_BT)
        sampler_logp_BT = microbatch.slice(self.update.batch.sampler_logp_BT)
        share_BT = microbatch.slice(self.share_BT)
        weight_BT, metrics = self._weights(microbatch, old_logp_BT, sampler_logp_BT, share_BT)
        minibatch = Minibatch(
            mask_BT=microbatch.mask,
            weight_BT=weight_BT,
            share_BT=share_BT,
            advantage_BT=microbatch.slice(self.update.credit.advantage_BT),
            old_logp_BT=old_logp_BT,
            signals={signal: microbatch.slice(x_BT) for signal, x_BT in self.update.rollouts.signals.items()},
        )
        loss, of_the_algorithm = self.algorithm.policy_loss(logp_BT, minibatch)
        return loss, of_the_algorithm | metrics | {
            "loss/policy": loss.item(),
            "policy/entropy": weighted_sum(entropy_BT, share_BT).item(),
            "policy/sampler_gap": weighted_sum((old_logp_BT - sampler_logp_BT).abs(), share_BT).item(),
        }

    def _weights(
        self, microbatch: Microbatch, old_logp_BT: Tensor, sampler_logp_BT: Tensor, share_BT: Tensor
    ) -> tuple[Tensor, Metrics]:
        """Return the token weights of the loss: of the aggregation, times the importance weights, and metrics of these.

        Where an update is a single step, the old log-probabilities that the correction reads are those of the training
        pass itself. The value network's loss keeps the weights that it has.
        """
        weight_BT, correction = microbatch.slice(self.weight_BT), self.correction
        if self.importance_BT is not None:
            weight_BT = weight_BT * microbatch.slice(self.importance_BT)
        if correction is None or correction.kind == "none":
            return weight_BT, {}
        w_BT, capped_BT = sampler_correction(old_logp_BT, sampler_logp_BT, kind=correction.kind, cap=correction.cap)
        return weight_BT * w_BT, {
            "policy/correction_mean": weighted_sum(w_BT, share_BT).item(),
            "policy/correction_share": weighted_sum(capped_BT.float(), share_BT).item(),
        }


class ValueStep:
    """The value network's loss in one optimizer step; called with each of its microbatches.

    Without credit, the values before training are those of the training pass itself. Returns of a response depend on
    that response alone then, so the algorithm gives its credit to each microbatch, and no pass over the batch comes
    first.

    Attributes:
        value_BT: what was predicted, (B, T).
    """

    def __init__(
        self,
        backbone: Backbone,
        algorithm: OnlineAlgorithm[StepOptions],
        rollouts: RolloutBatch,
        rows: Sequence[int],
        *,
        signal: Values,
        credit: Credit | None,
    ) -> None:
        self.backbone, self.algorithm, self.rollouts = backbone, algorithm, rollouts
        self.signal, self.credit = signal, credit
        self.weight_BT = step_weights(rollouts, rows, algorithm.aggregation)
        self.value_BT = torch.zeros(rollouts.mask_BT.shape)

    def __call__(self, microbatch: Microbatch) -> tuple[Tensor, Metrics]:
        """Return the loss, and no metrics."""
        value_BT = response_values(self.backbone, microbatch.layout, of=self.signal.of)
        microbatch.write(self.value_BT, value_BT)
        if self.credit is None:
            rollouts = self.rollouts.with_signal(self.signal, self.value_BT).rows(microbatch.rows)
            return_BT = _returns(self.algorithm.credit(rollouts))[:, : microbatch.width].to(microbatch.device)
            old_value_BT = value_BT.detach()
        else:
            return_BT = microbatch.slice(_returns(self.credit))
            old_value_BT = microbatch.slice(self.rollouts[Values])
        minibatch = ValueMinibatch(microbatch.mask, microbatch.slice(self.weight_BT), return_BT, old_value_BT)
        return self.algorithm.value_loss(value_BT, minibatch), {}


def _returns(credit: Credit) -> Tensor:
    if credit.return_BT is None:
        raise ValueError("the algorithm trains a value network, and its credit has no returns")
    return credit.return_BT
