"""Computes the signals that an algorithm declares, for the responses of an update.   B responses, T tokens.

Those that ``credit`` reads are computed once, before the first optimizer step (:meth:`SignalComputer.batch`); the
comparison of two roles before every step (:meth:`SignalComputer.compare`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from repo_exp.algorithms.interface import (
    AnswerMask,
    ComparedTokens,
    Comparison,
    OldLogprobs,
    ReferenceLogprobs,
    RoleLogprobs,
    RolloutBatch,
    Signal,
    Values,
)
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import response_comparison, response_logp, response_values
from repo_exp.training.batch import Microbatch, TrainingBatch, over_microbatches
from repo_exp.training.callbacks.guard import item_name, require_finite
from repo_exp.training.steps import Update

Cutter = Callable[[TrainingBatch, Sequence[int]], Iterable[Microbatch]]


class SignalComputer:
    """Forward passes without gradients over whole batches.

    Args:
        microbatches: cuts a batch.
        temperature: of sampling: log-probabilities are those of the distribution that was sampled from.
        phases: measures the time of each signal.
    """

    def __init__(
        self,
        backbone: Backbone,
        microbatches: Cutter,
        *,
        temperature: float,
        phases: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.backbone, self.microbatches, self.temperature, self.phases = backbone, microbatches, temperature, phases

    def batch(self, batch: TrainingBatch, signals: Iterable[Signal], *, max_tokens: int) -> RolloutBatch:
        """Return what ``credit`` reads: rewards and signals.

        Raises:
            NotFiniteError: a role's log-probabilities or values are not finite.
        """
        return RolloutBatch(
            batch.total_B,
            batch.group_B,
            batch.mask_BT,
            max_tokens,
            batch.scores,
            batch.finished,
            signals={signal: self.compute(signal, batch) for signal in signals},
        )

    def compute(self, signal: Signal, batch: TrainingBatch) -> Tensor:
        """Return one signal of every response: (B, T)."""
        match signal:
            case OldLogprobs():
                return self.logprobs("policy", batch)
            case ReferenceLogprobs():
                return self.logprobs("reference", batch)
            case RoleLogprobs(role):
                return self.logprobs(role, batch)
            case Values(of=of):
                return self._passes("value", batch, lambda m: response_values(self.backbone, m.layout, of=of))
            case AnswerMask(delimiter):
                return self.answers(batch, delimiter)
        raise NotImplementedError(f"nothing computes the signal {signal}")

    def logprobs(self, role: str, batch: TrainingBatch) -> Tensor:
        """Return a role's log-probabilities of the response tokens, in nats: (B, T)."""

        def run(microbatch: Microbatch) -> Tensor:
            logp_BT, _ = response_logp(self.backbone, microbatch.layout, temperature=self.temperature)
            return logp_BT

        return self._passes(role, batch, run)

    def answers(self, batch: TrainingBatch, delimiter: str | None) -> Tensor:
        """Return which tokens are the answer of a response: those behind the last delimiter, or all of them."""
        if delimiter is None:
            return batch.mask_BT
        tokens = self.backbone.tokens
        start_B = torch.tensor([tokens.behind(completion, delimiter) for completion in batch.completions])
        return batch.mask_BT & (torch.arange(batch.mask_BT.shape[1])[None] >= start_B[:, None])

    def compare(
        self,
        comparison: Comparison,
        update: Update,
        rows: Sequence[int],
        *,
        seed: int,
    ) -> ComparedTokens:
        """Return policy and role on some rows, just before they are trained on: (rows, T).

        Args:
            seed: of the uniform numbers, which are those of the whole update.
        """
        batch, width = update.batch, update.batch.mask_BT.shape[1]
        generator = torch.Generator().manual_seed(seed)
        uniform_BT = torch.rand(len(batch), update.rollouts.max_tokens, generator=generator)[:, :width]
        logp_BT, role_logp_BT, compared_BT = (torch.zeros(batch.mask_BT.shape) for _ in range(3))

        def run(microbatch: Microbatch) -> None:
            roles = ("policy", comparison.role)
            parts = response_comparison(
                self.backbone, microbatch.layout, roles, comparison.compare, temperature=self.temperature
            )
            for x_BT, part_BT in zip((logp_BT, role_logp_BT, compared_BT), parts, strict=True):
                microbatch.write(x_BT, part_BT)

        microbatches = self.microbatches(batch, rows)
        for _ in over_microbatches(self.backbone, "policy", microbatches, run, timed=lambda: self.phases("compare")):
            pass
        old_logp_BT = logp_BT if update.old_logp is None else update.old_logp
        i = list(rows)
        return ComparedTokens(
            batch.mask_BT[i], logp_BT[i], role_logp_BT[i], compared_BT[i], old_logp_BT[i], uniform_BT[i]
        )

    def names(self, batch: TrainingBatch, rows: Iterable[int]) -> list[str]:
        """Return responses as messages name them: their places in the round, and their first words."""
        text = self.backbone.tokens.text
        return [item_name("response", batch.places[i], text(batch.completions[i])) for i in rows]

    def _passes(self, role: str, batch: TrainingBatch, run: Callable[[Microbatch], Tensor]) -> Tensor:
        x_BT = torch.zeros(batch.mask_BT.shape)

        def write(microbatch: Microbatch) -> None:
            microbatch.write(x_BT, run(microbatch))

        microbatches = self.microbatches(batch, range(len(batch)))
        for _ in over_microbatches(
            self.backbone, role, microbatches, write, timed=lambda: self.phases(f"precompute: {role}")
        ):
            pass
        require_finite(x_BT, role=role, names=lambda wrong: self.names(batch, wrong))
        return x_BT
