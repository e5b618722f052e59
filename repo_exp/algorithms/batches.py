"""Batches that an algorithm reads, and its credit.   B responses (or pairs of two), T tokens of the longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from repo_exp.algorithms.signals import Signal, WithSignals

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class RolloutBatch(WithSignals):
    """The responses of an update that have a total, before they are trained on.

    Attributes:
        total_B: R_total of each response; every one is finite.
        group_B: equal numbers for responses to the same prompt.
        mask_BT: True at response tokens.
        max_tokens: tokens that a response may have.
        scores: the score of each reward source, (B,) by name; NaN where there is none.
        finished_B: did the response end by itself?
    """

    total_B: Tensor
    group_B: Tensor
    mask_BT: Tensor
    max_tokens: int
    scores: Mapping[str, Tensor]
    finished_B: Tensor

    def with_signal(self, signal: Signal, value_BT: Tensor) -> RolloutBatch:
        """Return the batch with one signal more."""
        return replace(self, signals={**self.signals, signal: value_BT})

    def rows(self, chosen: Sequence[int]) -> RolloutBatch:
        """Return some of the responses."""
        i = list(chosen)
        return replace(
            self,
            total_B=self.total_B[i],
            group_B=self.group_B[i],
            mask_BT=self.mask_BT[i],
            scores={name: score_B[i] for name, score_B in self.scores.items()},
            finished_B=self.finished_B[i],
            signals={signal: value_BT[i] for signal, value_BT in self.signals.items()},
        )


@dataclass(frozen=True, slots=True)
class Credit:
    """The credit of the responses of a batch.

    Attributes:
        advantage_BT: how much better each token did than expected.
        return_BT: the targets of the values; None where no value network is trained.
        kept_B: the responses that are trained on and count in a step's loss; None is all of them.
        metrics: figures of the credit, for the dashboard.
    """

    advantage_BT: Tensor
    return_BT: Tensor | None = None
    kept_B: Tensor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Minibatch(WithSignals):
    """Responses of an optimizer step, with what was computed before the step.

    Attributes:
        mask_BT: True at response tokens.
        weight_BT: the weight of each token in the step's loss; 0 outside the mask.
        share_BT: one over the tokens of the step, 0 outside the mask: a token's weight in a metric.
        advantage_BT: from ``credit``.
        old_logp_BT: the policy's log-probabilities before the update.
    """

    mask_BT: Tensor
    weight_BT: Tensor
    share_BT: Tensor
    advantage_BT: Tensor
    old_logp_BT: Tensor


@dataclass(frozen=True, slots=True)
class ValueMinibatch:
    """The same for the value network.

    Attributes:
        mask_BT, weight_BT: as in :class:`Minibatch`.
        return_BT: the targets of the values.
        old_value_BT: the values before the update.
    """

    mask_BT: Tensor
    weight_BT: Tensor
    return_BT: Tensor
    old_value_BT: Tensor


@dataclass(frozen=True, slots=True)
class ComparedTokens:
    """The responses of an optimizer step under the policy and under the role of a ``Comparison``: (B, T).

    Attributes:
        mask_BT: True at response tokens.
        logp_BT: the policy's log-probabilities just before the step.
        role_logp_BT: those of the role.
        compared_BT: what ``compare`` made of both distributions.
        old_logp_BT: the policy's log-probabilities before the update.
        uniform_BT: a number drawn from [0, 1) for each token, the same in every pass of the update.
    """

    mask_BT: Tensor
    logp_BT: Tensor
    role_logp_BT: Tensor
    compared_BT: Tensor
    old_logp_BT: Tensor
    uniform_BT: Tensor


@dataclass(frozen=True, slots=True)
class PairMinibatch(WithSignals):
    """Pairs of an optimizer step; the better response of each comes first. Signals are (B, 2, T) here.

    Attributes:
        mask_B2T: True at response tokens.
        pairs: how many the whole step has: a pair's loss is divided by it, so that minibatches add up.
        better_tokens: tokens of the better responses of the whole step.
    """

    mask_B2T: Tensor
    pairs: int
    better_tokens: int
