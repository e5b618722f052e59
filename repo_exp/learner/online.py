"""Learning from one's own replies: sample, score, credit, step.   B replies, T tokens of the longest."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from repo_exp.algorithms.interface import Credit, OnlineAlgorithm, Part, Rollouts, ValuePart
from repo_exp.config.schema import Correction
from repo_exp.core.choices import Aggregation
from repo_exp.core.diagnostics import explained_variance
from repo_exp.core.masks import masked_mean, token_weights, weighted_sum
from repo_exp.learner.agreement import require_agreement
from repo_exp.learner.base import Metrics
from repo_exp.learner.experience import Cut, Experience, split
from repo_exp.learner.guard import check_said, shown
from repo_exp.learner.optimiser import MasterWeights
from repo_exp.learner.policy import PolicyLearner
from repo_exp.learner.reweighing import compared, reweighed
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import reply_logp, reply_values
from repo_exp.rollout.sampler import Sampled, sample, spoken
from repo_exp.types import Context, Reply, RewardBreakdown

Scoring = Callable[[Sequence[Reply]], list[RewardBreakdown]]


class OnlineLearner(PolicyLearner):
    """Learning on the backbone's ``policy`` role, and on ``value`` where the algorithm teaches a value network.

    Args:
        algorithm: gives credit and losses (``algorithms/<kind>.py``).
        contexts: what may be answered; each round takes the next ones of an order that hangs on the seed.
        score: what replies are worth.
        describe: turns the breakdowns of a round into metrics.
        begin: hears of each reply as soon as it has ended, so that scoring can begin.
        record: is handed (update, replies, breakdowns) to keep.
        correction: what is done where sampler and learner see other probabilities; None is nothing.
        max_gap: how far they may lie apart before the run stops; None is by the model's precision.
    """

    def __init__(
        self,
        backbone: Backbone,
        algorithm: OnlineAlgorithm,
        contexts: Sequence[Context],
        *,
        score: Scoring,
        describe: Callable[[Sequence[RewardBreakdown]], Metrics],
        record: Callable[[int, Sequence[Reply], Sequence[RewardBreakdown]], None],
        temperature: float,
        max_new_tokens: int,
        batch_size: int,
        correction: Correction | None = None,
        begin: Callable[[Reply], None] | None = None,
        max_gap: float | None = None,
        **common: Any,
    ) -> None:
        super().__init__(backbone, **common)
        self.algorithm, self.contexts, self.score = algorithm, contexts, score
        self.describe, self.record, self.begin = describe, record, begin
        self.temperature, self.max_new_tokens, self.batch_size = temperature, max_new_tokens, batch_size
        self.correction, self.max_gap = correction, max_gap
        if algorithm.samples_from != "policy":
            backbone.copy("policy", algorithm.samples_from)
        if algorithm.averaging is not None:  # named as the masters that learn are, so that a checkpoint keeps it
            self.master_average = MasterWeights(backbone.parameters_of("average").values()).requires_grad_(False)

    # -- one round -------------------------------------------------------------------------------------

    def update(self, step: int) -> Metrics:
        """Answer the next contexts, score the replies, and learn from them."""
        chosen = [self.contexts[i] for i in self.upcoming(step)]
        prompts = [self.backbone.tokens.context(context.messages) for context in chosen]
        sampler = self.algorithm.samples_from
        if sampler != "policy" and step % self.algorithm.refresh_every == 0:
            self.backbone.take(sampler, self.backbone.weights_of("policy"))
        with self.phases("sample"):
            sampled = sample(
                self.backbone,
                sampler,
                prompts,
                seed=self.derived("sample", step),
                temperature=self.temperature,
                max_new_tokens=self.max_new_tokens,
                batch_size=self.batch_size,
                finished=None if self.begin is None else lambda i, reply: self.begin(self._spoken(chosen[i], reply)),
            )
        replies = spoken(self.backbone, chosen, sampled)
        with self.phases("score"):
            breakdowns = self.score(replies)
        self.record(step, replies, breakdowns)
        usable = [i for i, breakdown in enumerate(breakdowns) if math.isfinite(breakdown.total)]
        metrics: Metrics = dict(self.describe(breakdowns))
        metrics["reply/tokens"] = sum(reply.tokens for reply in replies) / len(replies)
        metrics["reply/unfinished"] = sum(not reply.finished for reply in replies) / len(replies)
        if usable:  # where no reply could be scored there is nothing to learn from; the metrics say so
            metrics |= self.improve(step, Experience.of(chosen, prompts, sampled, breakdowns, usable))
        averaging = self.algorithm.averaging
        if averaging is not None and (step + 1) % averaging.every == 0:
            self.change()
            self.master_average.follow(self.masters["policy"], keep=averaging.keep)
        return metrics

    def _spoken(self, context: Context, reply: Sampled) -> Reply:
        return spoken(self.backbone, [context], [reply])[0]

    def upcoming(self, step: int) -> list[int]:
        """Return which contexts this update answers, each as often as a group is large."""
        size = self.algorithm.group_size
        chosen = self.next_of(len(self.contexts), self.rollouts // size, step)
        return [i for i in chosen for _ in range(size)]

    # -- learning from it ------------------------------------------------------------------------------

    def improve(self, step: int, seen: Experience) -> Metrics:
        """Give credit and take the optimiser steps of one update."""
        algorithm, everyone = self.algorithm, range(len(seen.replies))
        # with a single step the only pass is the old one, and need not be computed twice
        single = algorithm.passes * algorithm.minibatches == 1
        at_once = algorithm.needs_value and algorithm.teaches_value and single and algorithm.returns_alone
        known = Rollouts(
            seen.total_B,
            seen.group_B,
            seen.mask_BT,
            self.max_new_tokens,
            seen.sources,
            finished_B=torch.tensor([reply.finished for reply in seen.replies]),
            value_BT=self.survey(seen, "value") if algorithm.needs_value and not at_once else None,
            old_logp_BT=None if single and not algorithm.needs_reference else self.survey(seen, "policy"),
            reference_logp_BT=self.survey(seen, "reference") if algorithm.needs_reference else None,
            average_logp_BT=self.survey(seen, "average") if algorithm.averaging is not None else None,
            answer_BT=self.answers(seen) if algorithm.averaging is not None else None,
        )
        if known.old_logp_BT is not None:
            sampler_logp_BT = torch.zeros(seen.mask_BT.shape)
            sampler_logp_BT[seen.mask_BT] = torch.tensor([p for reply in seen.replies for p in reply.logp])
            gap = masked_mean((known.old_logp_BT - sampler_logp_BT).abs(), seen.mask_BT).item()
            self._require_agreement(step, gap)
        metrics: Metrics = {}
        if at_once:
            value_BT, metrics["loss/value"] = self.teach_values(seen, everyone, known, None)
            known = replace(known, value_BT=value_BT)
        self.change()  # an algorithm may remember what it gave
        credit = algorithm.credit(known)
        kept = everyone if credit.kept_B is None else credit.kept_B.nonzero().squeeze(1).tolist()
        units = seen.grouped(kept) if algorithm.whole_groups else [[i] for i in kept]
        metrics["credit/silent"] = (credit.advantage_BT.abs().amax(1) == 0).float().mean().item()
        metrics |= credit.metrics
        if known.value_BT is not None and credit.return_BT is not None:
            spread = explained_variance(known.value_BT, credit.return_BT, seen.mask_BT)
            metrics["value/explained_variance"] = spread.item()
        if known.value_BT is not None:
            metrics["value/mean"] = masked_mean(known.value_BT, seen.mask_BT).item()
        per_update = algorithm.passes * algorithm.minibatches
        before, planned = step * per_update, self.steps * per_update
        taken = before
        sums: Metrics = {}
        for number in range(algorithm.passes):
            order = list(units)
            random.Random(self.derived("minibatch", step, number)).shuffle(order)
            for cut in split(order, algorithm.minibatches):
                part = [i for unit in cut for i in unit]
                told = self.optimise(step, seen, part, known, credit, (taken, planned), metrics.get("loss/value"))
                for name, value in told.items():
                    sums[name] = sums.get(name, 0.0) + value
                taken += 1
        # steps may be fewer than planned where few replies could be learnt from
        return metrics | {name: value / (taken - before) for name, value in sums.items()}

    def optimise(
        self,
        step: int,
        seen: Experience,
        part: Sequence[int],
        known: Rollouts,
        credit: Credit,
        progress: tuple[int, int],
        value_loss: float | None,
    ) -> Metrics:
        """Take one optimiser step a role from part of the replies; ``value_loss`` is there if values are taught."""
        algorithm, device = self.algorithm, self.backbone.model.device
        weight_BT = self._weights(seen.mask_BT, part, algorithm.aggregation)
        share_BT = self._weights(seen.mask_BT, part, "token_mean")
        sums: Metrics = {}
        factor_BT = None
        if algorithm.compares:
            factor_BT, sums = self.factors(step, seen, part, known.old_logp_BT)
        for chosen in self.microbatches(seen, part):
            batch = seen.part(chosen, pad=self.backbone.tokens.pad)
            cut = Cut(chosen, batch.mask_NR.shape[1], device)
            with self.phases("learn: policy"), self.backbone.speaking("policy", training=True):
                logp, spread = reply_logp(self.backbone, batch, temperature=self.temperature, with_entropy=True)
                given = Part(
                    mask_BT=batch.mask_NR.to(device),
                    weight_BT=cut(weight_BT),
                    share_BT=cut(share_BT),
                    advantage_BT=cut(credit.advantage_BT),
                    old_logp_BT=logp.detach() if known.old_logp_BT is None else cut(known.old_logp_BT),
                    reference_logp_BT=cut(known.reference_logp_BT),
                )
                sampler_logp = torch.zeros(logp.shape, device=device)
                told = [p for i in chosen for p in seen.replies[i].logp]
                sampler_logp[given.mask_BT] = torch.tensor(told, device=device)
                weighed, changed = reweighed(given, sampler_logp, factor_BT=cut(factor_BT), correction=self.correction)
                loss, metrics = algorithm.policy_loss(logp, weighed)
                self.manual_backward(loss)
            self.masters["policy"].collect()
            metrics |= changed | {
                "loss/policy": loss.item(),
                "policy/entropy": weighted_sum(spread, given.share_BT).item(),
                "policy/sampler_gap": weighted_sum((given.old_logp_BT - sampler_logp).abs(), given.share_BT).item(),
            }
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + value
        if known.old_logp_BT is None:
            self._require_agreement(step, sums["policy/sampler_gap"])
        if algorithm.needs_value and algorithm.teaches_value and value_loss is None:
            _, value_loss = self.teach_values(seen, part, known, credit)
            sums["loss/value"] = value_loss
        losses = {"policy": sums["loss/policy"], "value": value_loss}
        with self.phases("optimiser"):
            for role in self.masters:
                sums[f"grad/{role}_norm"] = self.apply_gradients(
                    role, progress=progress, loss=losses[role], batch=lambda: self.named(seen, part)
                )
        return sums

    def _require_agreement(self, step: int, gap: float) -> None:
        """Stop before anything is learnt from replies that the learner sees otherwise. An older copy may differ.

        A gap that is not finite is one of a loss that is not, over which the guard of the step decides.
        """
        if not math.isfinite(gap):
            return
        if self.algorithm.samples_from == "policy" or step % self.algorithm.refresh_every == 0:
            dtype = self.backbone.model.dtype
            require_agreement(gap, dtype=dtype, temperature=self.temperature, bound=self.max_gap)

    def teach_values(
        self, seen: Experience, part: Sequence[int], known: Rollouts, credit: Credit | None
    ) -> tuple[Tensor, float]:
        """Collect the value network's gradients; return what it said of every reply, (B, T), and the loss.

        Without credit, what it says now is what it said before learning. The returns of a reply hang on that reply
        alone, so they are worked out on the way, and nobody has to ask for the values of the whole batch first.
        """
        algorithm, device = self.algorithm, self.backbone.model.device
        weight_BT = self._weights(seen.mask_BT, part, algorithm.aggregation)
        said_BT, total = torch.zeros(seen.mask_BT.shape), 0.0
        for chosen in self.microbatches(seen, part):
            batch = seen.part(chosen, pad=self.backbone.tokens.pad)
            cut = Cut(chosen, batch.mask_NR.shape[1], device)
            with self.phases("learn: value"), self.backbone.speaking("value", training=True):
                value = reply_values(self.backbone, batch)
                said_BT[chosen, : cut.width] = value.detach().cpu()
                if credit is None:
                    returns = algorithm.credit(replace(known, value_BT=said_BT).of(chosen)).return_BT
                    returns = returns[:, : cut.width].to(device)
                else:
                    returns = cut(credit.return_BT)
                given = ValuePart(
                    mask_BT=batch.mask_NR.to(device),
                    weight_BT=cut(weight_BT),
                    return_BT=returns,
                    old_value_BT=value.detach() if known.value_BT is None else cut(known.value_BT),
                )
                loss = algorithm.value_loss(value, given)
                self.manual_backward(loss)
            self.masters["value"].collect()
            total += loss.item()
        return said_BT, total

    def _weights(self, mask_BT: Tensor, part: Sequence[int], aggregation: Aggregation) -> Tensor:
        """Return what each token counts in a step that learns from part of the replies: (B, T), 0 outside it."""
        weight_BT = torch.zeros(mask_BT.shape)
        weight_BT[list(part)] = token_weights(mask_BT[list(part)], aggregation, longest=self.max_new_tokens)
        return weight_BT

    def factors(self, step: int, seen: Experience, part: Sequence[int], old_logp_BT: Tensor | None) -> tuple:
        """Let the algorithm hold policy and sampling role against one another: (B, T) factors, and metrics."""
        generator = torch.Generator().manual_seed(self.derived("compare", step))
        uniform_BT = torch.rand(len(seen.replies), self.max_new_tokens, generator=generator)
        batches = ((each, seen.part(each, pad=self.backbone.tokens.pad)) for each in self.microbatches(seen, part))
        with self.phases("compare"):
            return compared(
                self.backbone,
                self.algorithm,
                batches,
                part,
                mask_BT=seen.mask_BT,
                old_logp_BT=old_logp_BT,
                uniform_BT=uniform_BT[:, : seen.mask_BT.shape[1]],
                temperature=self.temperature,
            )

    @torch.no_grad()
    def survey(self, seen: Experience, role: str) -> Tensor:
        """Return what a role says of every reply before anything is learnt: (B, T) log-probabilities or values."""
        said_BT = torch.zeros(seen.mask_BT.shape)
        with self.phases(f"survey: {role}"), self.backbone.speaking(role):
            for chosen in self.microbatches(seen, range(len(seen.replies))):
                batch = seen.part(chosen, pad=self.backbone.tokens.pad)
                if role == "value":
                    said = reply_values(self.backbone, batch, of=self.algorithm.value_of)
                else:
                    said, _ = reply_logp(self.backbone, batch, temperature=self.temperature)
                said_BT[chosen, : said.shape[1]] = said.cpu()
        check_said(said_BT, role=role, batch=lambda wrong: self.named(seen, wrong))
        return said_BT

    def named(self, seen: Experience, part: Iterable[int]) -> list[str]:
        """Return replies as messages name them: their places in the round, and their first words."""
        text = self.backbone.tokens.text
        return [shown("reply", seen.places[i], text(seen.replies[i].tokens)) for i in part]

    def answers(self, seen: Experience) -> Tensor:
        """Return which tokens are the answer of a reply: all, or those behind the algorithm's ``answer_after``."""
        words = self.algorithm.answer_after
        if words is None:
            return seen.mask_BT
        start_B = torch.tensor([self.backbone.tokens.behind(reply.tokens, words) for reply in seen.replies])
        return seen.mask_BT & (torch.arange(seen.mask_BT.shape[1])[None] >= start_B[:, None])

    def microbatches(self, seen: Experience, part: Sequence[int]) -> Iterator[list[int]]:
        """Yield the replies of a part as the passes take them."""
        whole, cut, packs = self.algorithm.whole_groups, self.backbone.chunks, self.backbone.packs
        return seen.microbatches(part, tokens=self.microbatch_tokens, whole_groups=whole, chunks=cut, packs=packs)

    # -- what a checkpoint keeps besides -----------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the algorithm remembers, and the copy of the policy that answers, if there is one."""
        checkpoint["algorithm"] = self.algorithm.state()
        if self.algorithm.samples_from != "policy":
            checkpoint["sampler"] = self.backbone.weights_of(self.algorithm.samples_from)
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take both up."""
        super().on_load_checkpoint(checkpoint)
        self.algorithm.restore(checkpoint["algorithm"])
        if self.algorithm.samples_from != "policy":
            self.backbone.take(self.algorithm.samples_from, checkpoint["sampler"])
