"""Training a policy on preference pairs.   B pairs, 2 responses (the better one first), T tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repo_exp.algorithms.interface import OfflineAlgorithm, PairMinibatch, ReferenceLogprobs
from repo_exp.algorithms.options.base import MethodOptions
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import ResponseBatch, lay_out, response_logp
from repo_exp.training.base import Metrics, TrainingSettings
from repo_exp.training.batch import over_microbatches
from repo_exp.training.callbacks.guard import item_name, require_finite
from repo_exp.training.losses import PairItem
from repo_exp.training.policy import PolicyModule, Updates


@dataclass(frozen=True, slots=True)
class PairMicrobatch:
    """Some pairs, laid out for a forward pass: the two responses share the computation of their prompt.

    Attributes:
        places: which pairs.
        layout: their tokens; the better response first.
    """

    places: list[int]
    layout: ResponseBatch

    @property
    def mask(self) -> Tensor:
        """True at response tokens."""
        return self.layout.mask_NR.view(len(self.places), 2, -1)


class PairedModule(PolicyModule):
    """Trains the ``policy`` role, one optimizer step an update.

    The reference's log-probabilities of the pairs are computed once, before the first step; it does not move, so a run
    that resumes computes the same ones.

    Args:
        algorithm: gives the loss (``algorithms/<kind>.py``).
        pairs: what is trained on; each step takes the next ones of an order that depends on the seed.
    """

    def __init__(
        self,
        backbone: Backbone,
        algorithm: OfflineAlgorithm[MethodOptions],
        pairs: Sequence[PairItem],
        *,
        settings: TrainingSettings,
        updates: Updates,
    ) -> None:
        super().__init__(backbone, settings, updates)
        self.algorithm, self.pairs = algorithm, pairs
        self._reference: dict[int, Tensor] = {}  # pair -> (2, its tokens)

    def upcoming(self, step: int) -> list[int]:
        """Return which pairs a step trains on: half as many as there are rollouts, a pair being two responses."""
        return self.next_of(len(self.pairs), self.updates.rollouts // 2, step)

    @property
    def trained_tokens(self) -> int:
        """The response tokens of all steps; a pair that comes again counts again."""
        return sum(
            len(self.pairs[i].chosen) + len(self.pairs[i].rejected)
            for step in range(self.steps)
            for i in self.upcoming(step)
        )

    def update(self, step: int) -> Metrics:
        """Take one optimizer step."""
        if ReferenceLogprobs() in self.algorithm.signals and not self._reference:
            self._reference = self.precompute()
        places = self.upcoming(step)
        tokens = sum(len(self.pairs[i].chosen) for i in places)

        def loss(microbatch: PairMicrobatch) -> tuple[Tensor, Metrics]:
            mask_B2T = microbatch.mask
            logp_NR, _ = response_logp(self.backbone, microbatch.layout)
            minibatch = PairMinibatch(
                mask_B2T.to(logp_NR.device),
                pairs=len(places),
                better_tokens=tokens,
                signals={signal: self.reference(microbatch).to(logp_NR.device) for signal in self.algorithm.signals},
            )
            value, metrics = self.algorithm.loss(logp_NR.view(mask_B2T.shape), minibatch)
            return value, metrics | {"loss/policy": value.item()}

        total, metrics = self.accumulate("policy", self.microbatches(places), loss, phase="train: policy")
        with self.phases("optimizer"):
            metrics["grad/policy_norm"] = self.apply_gradients(
                "policy", progress=(step, self.steps), loss=total, names=lambda: self.names(places)
            )
        return metrics

    def names(self, places: Sequence[int]) -> list[str]:
        """Return pairs as messages name them: their places among all, and the better response's first words."""
        return [item_name("pair", i, self.backbone.tokens.text(self.pairs[i].chosen)) for i in places]

    def reference(self, microbatch: PairMicrobatch) -> Tensor:
        """Return the reference's log-probabilities of some pairs: (B, 2, T)."""
        reference_B2T = torch.zeros(microbatch.mask.shape)
        for row, i in enumerate(microbatch.places):
            reference_B2T[row, :, : self._reference[i].shape[1]] = self._reference[i]
        return reference_B2T

    def precompute(self) -> dict[int, Tensor]:
        """Return the reference's log-probabilities of every pair that a step will train on.

        Laid out as the steps lay them out, so that those of a policy that has not moved are rounded the same way.
        """
        found: dict[int, Tensor] = {}

        def run(microbatch: PairMicrobatch) -> None:
            logp_NR, _ = response_logp(self.backbone, microbatch.layout)
            logp_B2T, places = logp_NR.cpu().view(len(microbatch.places), 2, -1), microbatch.places
            require_finite(logp_B2T, role="reference", names=lambda wrong: self.names([places[k] for k in wrong]))
            for i, logp_2T in zip(places, logp_B2T, strict=True):
                found[i] = logp_2T[:, : max(len(self.pairs[i].chosen), len(self.pairs[i].rejected))]

        every = (each for step in range(self.steps) for each in self.microbatches(self.upcoming(step)))
        new = (each for each in every if not set(each.places) <= set(found))
        for _ in over_microbatches(
            self.backbone, "reference", new, run, timed=lambda: self.phases("precompute: reference")
        ):
            pass
        return found

    def microbatches(self, places: Sequence[int]) -> Iterator[PairMicrobatch]:
        """Yield pairs of similar length, laid out for forward passes."""
        sequences = [self.pairs[i].sequences for i in places]
        for chosen in self.backbone.chunks(sequences, self.settings.microbatch_tokens):
            some = [places[k] for k in chosen]
            prompts = [self.pairs[i].prompt for i in some for _ in range(2)]
            responses = [response for i in some for response in (self.pairs[i].chosen, self.pairs[i].rejected)]
            yield PairMicrobatch(some, lay_out(prompts, responses, pad=self.backbone.tokens.pad))
