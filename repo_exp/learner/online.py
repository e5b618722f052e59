"""Learning from one's own replies: sample, score, credit, step.   B replies, T tokens of the longest."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repo_exp.core.diagnostics import explained_variance
from repo_exp.core.masks import masked_mean
from repo_exp.learner.base import Learner, Metrics
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import ReplyBatch, by_tokens, lay_out, reply_logp, reply_values
from repo_exp.rollout.sampler import Sampled, sample
from repo_exp.types import Context, Reply, RewardBreakdown

Scoring = Callable[[Sequence[Reply]], list[RewardBreakdown]]


@dataclass(frozen=True, slots=True)
class Experience:
    """One batch of replies that can be learnt from, and what was known of them before learning."""

    contexts: list[list[int]]
    replies: list[Sampled]
    total_B: Tensor
    mask_BT: Tensor

    def part(self, chosen: Sequence[int], *, pad: int) -> ReplyBatch:
        """Return some of the replies, laid out for a pass."""
        return lay_out([self.contexts[i] for i in chosen], [self.replies[i].tokens for i in chosen], pad=pad)

    def lengths(self, chosen: Sequence[int]) -> list[int]:
        """Return the tokens of context and reply together."""
        return [len(self.contexts[i]) + len(self.replies[i].tokens) for i in chosen]


class OnlineLearner(Learner):
    """PPO-like learning on the backbone's ``policy`` and ``value`` roles.

    Args:
        algorithm: gives credit and losses (``algorithms/<kind>.py``).
        contexts: what may be answered; each round takes the next ones of an order that hangs on the seed.
        score: what replies are worth.
        describe: turns the breakdowns of a round into metrics.
        record: is handed (update, replies, breakdowns) to keep.
        capability: measures the policy on held-out contexts; called every ``capability_every`` updates.
    """

    def __init__(
        self,
        backbone: Backbone,
        algorithm: Any,
        contexts: Sequence[Context],
        *,
        score: Scoring,
        describe: Callable[[Sequence[RewardBreakdown]], Metrics],
        record: Callable[[int, Sequence[Reply], Sequence[RewardBreakdown]], None],
        capability: Callable[[], Metrics],
        capability_every: int,
        rollouts: int,
        temperature: float,
        max_new_tokens: int,
        batch_size: int,
        microbatch_tokens: int,
        **common: Any,
    ) -> None:
        super().__init__(backbone, **common)
        self.algorithm, self.contexts, self.score = algorithm, contexts, score
        self.describe, self.record = describe, record
        self.capability, self.capability_every = capability, capability_every
        self.rollouts, self.temperature, self.microbatch_tokens = rollouts, temperature, microbatch_tokens
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size

    # -- one round -------------------------------------------------------------------------------------

    def learn(self, step: int) -> Metrics:
        """Answer the next contexts, score the replies, and learn from them."""
        if step == 0 and self.capability_every:
            before = self.capability()
            self.history.append({"step": 0, **before})
            self.report(0, before)
        chosen = [self.contexts[i] for i in self.upcoming(step)]
        prompts = [self.backbone.tokens.context(context.messages) for context in chosen]
        sampled = sample(
            self.backbone,
            "policy",
            prompts,
            seed=self.derived("sample", step),
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
        )
        replies = [
            Reply(context, self.backbone.tokens.text(reply.tokens), reply.finished, len(reply.tokens))
            for context, reply in zip(chosen, sampled, strict=True)
        ]
        breakdowns = self.score(replies)
        self.record(step, replies, breakdowns)
        usable = [i for i, breakdown in enumerate(breakdowns) if math.isfinite(breakdown.total)]
        metrics: Metrics = dict(self.describe(breakdowns))
        metrics["reply/tokens"] = sum(reply.tokens for reply in replies) / len(replies)
        metrics["reply/unfinished"] = sum(not reply.finished for reply in replies) / len(replies)
        if usable:  # where no reply could be scored there is nothing to learn from; the metrics say so
            metrics |= self.improve(step, self.experience(prompts, sampled, breakdowns, usable))
        if self.capability_every and ((step + 1) % self.capability_every == 0 or step + 1 == self.steps):
            metrics |= self.capability()
        return metrics

    def upcoming(self, step: int) -> list[int]:
        """Return which contexts this update answers: the next ones, in an order drawn anew each time round."""
        places = range(step * self.rollouts, (step + 1) * self.rollouts)
        size = len(self.contexts)
        orders = {epoch: self._order(epoch) for epoch in {place // size for place in places}}
        return [orders[place // size][place % size] for place in places]

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.contexts)))
        random.Random(self.derived("order", epoch)).shuffle(order)
        return order

    def experience(
        self, prompts: Sequence[list[int]], sampled: Sequence[Sampled], breakdowns: Sequence[Any], usable: Sequence[int]
    ) -> Experience:
        """Return what can be learnt from: the replies whose total is there."""
        replies = [sampled[i] for i in usable]
        length_B = torch.tensor([len(reply.tokens) for reply in replies])
        mask_BT = torch.arange(int(length_B.max()))[None] < length_B[:, None]
        total_B = torch.tensor([breakdowns[i].total for i in usable], dtype=torch.float32)
        return Experience([prompts[i] for i in usable], replies, total_B, mask_BT)

    # -- learning from it ------------------------------------------------------------------------------

    def improve(self, step: int, seen: Experience) -> Metrics:
        """Give credit and take the optimiser steps of one update."""
        algorithm, everyone = self.algorithm, range(len(seen.replies))
        # with a single step the only pass is the old policy's own, and need not be computed twice
        single = algorithm.passes * algorithm.minibatches == 1 and not algorithm.needs_reference
        old_logp_BT = None if single else self.survey(seen, "policy")
        reference_logp_BT = self.survey(seen, "reference") if algorithm.needs_reference else None
        old_value_BT = self.survey(seen, "value")
        credit = algorithm.credit(
            seen.total_B, old_value_BT, seen.mask_BT, old_logp_BT=old_logp_BT, reference_logp_BT=reference_logp_BT
        )
        metrics: Metrics = {
            "value/explained_variance": explained_variance(old_value_BT, credit.return_BT, seen.mask_BT).item(),
            "value/mean": masked_mean(old_value_BT, seen.mask_BT).item(),
        }
        per_update = algorithm.passes * algorithm.minibatches
        taken, planned = step * per_update, self.steps * per_update
        sums: Metrics = {}
        for number in range(algorithm.passes):
            order = list(everyone)
            random.Random(self.derived("minibatch", step, number)).shuffle(order)
            for part in _split(order, algorithm.minibatches):
                told = self.optimise(seen, part, credit, old_logp_BT, old_value_BT, (taken, planned))
                for name, value in told.items():
                    sums[name] = sums.get(name, 0.0) + value
                taken += 1
        return metrics | {name: value / per_update for name, value in sums.items()}

    def optimise(
        self,
        seen: Experience,
        part: Sequence[int],
        credit: Any,
        old_logp_BT: Tensor | None,
        old_value_BT: Tensor,
        progress: tuple[int, int],
    ) -> Metrics:
        """Take one optimiser step for policy and value from part of the replies."""
        sums: Metrics = {}
        count = float(seen.mask_BT[list(part)].sum())
        for chosen in self.microbatches(seen, part):
            batch = seen.part(chosen, pad=self.backbone.tokens.pad)
            width, device = batch.mask_NR.shape[1], self.backbone.model.device
            mask = batch.mask_NR.to(device)
            advantage, returns, old_value = (
                whole_BT[chosen, :width].to(device)
                for whole_BT in (credit.advantage_BT, credit.return_BT, old_value_BT)
            )
            with self.backbone.speaking("policy", training=True):
                logp, spread = reply_logp(self.backbone, batch, temperature=self.temperature, with_entropy=True)
                old = logp.detach() if old_logp_BT is None else old_logp_BT[chosen, :width].to(device)
                loss, metrics = self.algorithm.policy_loss(logp, old, advantage, mask, count=count)
                self.manual_backward(loss)
            self.masters["policy"].collect()
            with self.backbone.speaking("value", training=True):
                value = reply_values(self.backbone, batch)
                value_loss = self.algorithm.value_loss(value, old_value, returns, mask, count=count)
                self.manual_backward(value_loss)
            self.masters["value"].collect()
            sampled = [seen.replies[i].logp for i in chosen]
            sampler_logp = torch.tensor([[*logps, *[0.0] * (width - len(logps))] for logps in sampled], device=device)
            share = mask.sum().item() / count
            metrics |= {
                "loss/policy": loss.item(),
                "loss/value": value_loss.item(),
                "policy/entropy": masked_mean(spread, mask).item() * share,
                "policy/sampler_gap": masked_mean((old - sampler_logp).abs(), mask).item() * share,
            }
            for name, value_ in metrics.items():
                sums[name] = sums.get(name, 0.0) + value_
        sums["grad/policy_norm"] = self.apply_gradients("policy", progress=progress)
        sums["grad/value_norm"] = self.apply_gradients("value", progress=progress)
        return sums

    @torch.no_grad()
    def survey(self, seen: Experience, role: str) -> Tensor:
        """Return what a role says of every reply before anything is learnt: (B, T) log-probabilities or values."""
        said_BT = torch.zeros(seen.mask_BT.shape)
        with self.backbone.speaking(role):
            for chosen in self.microbatches(seen, range(len(seen.replies))):
                batch = seen.part(chosen, pad=self.backbone.tokens.pad)
                if role == "value":
                    said = reply_values(self.backbone, batch)
                else:
                    said, _ = reply_logp(self.backbone, batch, temperature=self.temperature)
                said_BT[chosen, : said.shape[1]] = said.cpu()
        return said_BT

    def microbatches(self, seen: Experience, part: Sequence[int]) -> Iterator[list[int]]:
        """Yield the replies of a part in microbatches of like length."""
        part = list(part)
        for chosen in by_tokens(seen.lengths(part), self.microbatch_tokens):
            yield [part[k] for k in chosen]


def _split(order: Sequence[int], parts: int) -> Iterator[Sequence[int]]:
    """Cut into ``parts`` runs whose sizes differ by at most one; none is empty."""
    size, rest = divmod(len(order), parts)
    start = 0
    for number in range(parts):
        end = start + size + (number < rest)
        if end > start:
            yield order[start:end]
        start = end
