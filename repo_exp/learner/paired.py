"""Learning from pairs of replies, the better one known.   B pairs, 2 replies (the better one first), T tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from repo_exp.algorithms.interface import OfflineAlgorithm, Pairs
from repo_exp.learner.base import Metrics
from repo_exp.learner.guard import check_said, shown
from repo_exp.learner.objectives import PairItem
from repo_exp.learner.policy import PolicyLearner
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import ReplyBatch, lay_out, reply_logp


class PairedLearner(PolicyLearner):
    """Learning on the backbone's ``policy`` role, one optimiser step an update.

    What the reference says of the pairs is asked once, before the first step; it does not move, so a run that goes on
    from a checkpoint asks it again and hears the same.

    Args:
        algorithm: gives the loss (``algorithms/<kind>.py``).
        pairs: what there is to learn from; each step takes the next ones of an order that hangs on the seed.
    """

    def __init__(
        self, backbone: Backbone, algorithm: OfflineAlgorithm, pairs: Sequence[PairItem], **common: Any
    ) -> None:
        super().__init__(backbone, **common)
        self.algorithm, self.pairs = algorithm, pairs
        self._reference: dict[int, Tensor] = {}  # pair -> (2, its tokens)

    def upcoming(self, step: int) -> list[int]:
        """Return which pairs this step learns from: half as many as there are rollouts, a pair being two replies."""
        return self.next_of(len(self.pairs), self.rollouts // 2, step)

    @property
    def tokens_learnt(self) -> int:
        """The reply tokens of all steps; a pair that comes round again counts again."""
        return sum(
            len(self.pairs[i].chosen) + len(self.pairs[i].rejected)
            for step in range(self.steps)
            for i in self.upcoming(step)
        )

    def update(self, step: int) -> Metrics:
        """Take one optimiser step."""
        if self.algorithm.needs_reference and not self._reference:
            self._reference = self.survey()
        return self.optimise(step)

    def optimise(self, step: int) -> Metrics:
        """Learn from the pairs of a step, cut into microbatches."""
        chosen, device = self.upcoming(step), self.backbone.model.device
        tokens = sum(len(self.pairs[i].chosen) for i in chosen)
        sums: Metrics = {}
        for cut, batch in self.microbatches(chosen):
            mask_B2T = batch.mask_NR.view(len(cut), 2, -1)
            reference_B2T = torch.zeros(mask_B2T.shape) if self._reference else None
            for row, i in enumerate(cut if self._reference else ()):
                reference_B2T[row, :, : self._reference[i].shape[1]] = self._reference[i]
            with self.phases("learn: policy"), self.backbone.speaking("policy", training=True):
                logp_NR, _ = reply_logp(self.backbone, batch)
                given = Pairs(
                    mask_B2T=mask_B2T.to(device),
                    pairs=len(chosen),
                    better_tokens=tokens,
                    reference_logp_B2T=reference_B2T.to(device) if reference_B2T is not None else None,
                )
                loss, metrics = self.algorithm.loss(logp_NR.view(mask_B2T.shape), given)
                self.manual_backward(loss)
            self.masters["policy"].collect()
            for name, value in (metrics | {"loss/policy": loss.item()}).items():
                sums[name] = sums.get(name, 0.0) + value
        with self.phases("optimiser"):
            sums["grad/policy_norm"] = self.apply_gradients(
                "policy", progress=(step, self.steps), loss=sums["loss/policy"], batch=lambda: self.named(chosen)
            )
        return sums

    def named(self, chosen: Sequence[int]) -> list[str]:
        """Return pairs as messages name them: their places among all, and the better reply's first words."""
        return [shown("pair", i, self.backbone.tokens.text(self.pairs[i].chosen)) for i in chosen]

    @torch.no_grad()
    def survey(self) -> dict[int, Tensor]:
        """Return what the reference says of every pair that a step will learn from.

        Laid out as the steps lay them out, so that what a policy says that has not moved is rounded alike.
        """
        said: dict[int, Tensor] = {}
        with self.phases("survey: reference"), self.backbone.speaking("reference"):
            for cut, batch in (each for step in range(self.steps) for each in self.microbatches(self.upcoming(step))):
                if set(cut) <= set(said):
                    continue
                logp_NR, _ = reply_logp(self.backbone, batch)
                said_C2T = logp_NR.cpu().view(len(cut), 2, -1)
                check_said(said_C2T, role="reference", batch=lambda wrong, cut=cut: self.named([cut[k] for k in wrong]))
                for i, said_2T in zip(cut, said_C2T, strict=True):
                    said[i] = said_2T[:, : max(len(self.pairs[i].chosen), len(self.pairs[i].rejected))]
        return said

    def microbatches(self, chosen: Sequence[int]) -> Iterator[tuple[list[int], ReplyBatch]]:
        """Yield pairs of like length, laid out: the two replies share the computation of their context."""
        for cut in self.backbone.chunks([self.pairs[i].sequences for i in chosen], self.microbatch_tokens):
            found = [chosen[k] for k in cut]
            contexts = [self.pairs[i].context for i in found for _ in range(2)]
            replies = [reply for i in found for reply in (self.pairs[i].chosen, self.pairs[i].rejected)]
            yield found, lay_out(contexts, replies, pad=self.backbone.tokens.pad)
