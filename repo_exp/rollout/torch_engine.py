"""The engine of this process: samples from the active adapter of the shared backbone.   B prompts, V vocabulary.

Every completion has a stream of random numbers of its own, from its seed: which other prompts share the batch cannot
change what it draws. The distribution is the plain softmax at the given temperature, without truncation, so the
log-probabilities in training are those of the tokens drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch
from torch import Tensor

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import by_length, lay_out, response_logp
from repo_exp.rollout.drawing import draw
from repo_exp.rollout.engine import Completion, OnFinished, Sampling

KEEP = 0.75  # ended rows are computed on until no more than this share goes on: moving the cache costs about a token
PROMPT = 24  # last tokens of a prompt that an error shows


class TorchEngine:
    """Samples from a role's adapter on the backbone, ``batch_size`` prompts at a time.

    The adapters are the learner's own, so ``publish`` only chooses one: nothing is copied.
    """

    def __init__(self, backbone: Backbone, role: str = "policy", *, batch_size: int) -> None:
        self.backbone, self.role, self.version, self.batch_size = backbone, role, 0, batch_size

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        seeds: Sequence[int],
        on_finished: OnFinished | None = None,
    ) -> list[Completion]:
        """Complete each prompt once; completions that end together are handed on in the order of their batch.

        Raises:
            NotFiniteError: the role's logits are not finite, so that there is no distribution to draw from.
        """
        completions: list[Completion | None] = [None] * len(prompts)
        with self.backbone.active_adapter(self.role):
            for batch in by_length([len(prompt) for prompt in prompts], self.batch_size):
                # one row of uniform numbers a completion, drawn ahead: its k-th token always takes number k
                uniform_BR = torch.stack(
                    [
                        torch.rand(sampling.max_new_tokens, generator=torch.Generator().manual_seed(seeds[i]))
                        for i in batch
                    ]
                )
                ended = None if on_finished is None else partial(_hand_on, on_finished, batch)
                sampled = _decode(
                    self.backbone,
                    [prompts[i] for i in batch],
                    uniform_BR,
                    temperature=sampling.temperature,
                    ended=ended,
                )
                for i, completion in zip(batch, sampled, strict=True):
                    completions[i] = completion
                wrong = [
                    i for i, each in zip(batch, sampled, strict=True) if not all(map(math.isfinite, each.logprobs))
                ]
                if wrong:
                    raise self._no_distribution(prompts, wrong, temperature=sampling.temperature)
        return [completion for completion in completions if completion is not None]

    @torch.no_grad()
    def score(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], *, temperature: float
    ) -> list[tuple[float, ...]]:
        """Return the log-probability of each token of each completion, in nats, at this temperature."""
        found: list[tuple[float, ...]] = [()] * len(prompts)
        sizes = [len(prompt) + len(completion) for prompt, completion in zip(prompts, completions, strict=True)]
        with self.backbone.active_adapter(self.role):
            for batch in by_length(sizes, self.batch_size):
                rows = lay_out(
                    [prompts[i] for i in batch], [completions[i] for i in batch], pad=self.backbone.tokens.pad
                )
                logprob_BT, _ = response_logp(self.backbone, rows, temperature=temperature)
                for i, row in zip(batch, logprob_BT.tolist(), strict=True):
                    found[i] = tuple(row[: len(completions[i])])
        return found

    def publish(self, role: str, version: int) -> None:
        """Sample from this role's adapter from now on."""
        self.role, self.version = role, version

    def close(self) -> None:
        """Do nothing: the backbone belongs to the run."""

    def _no_distribution(
        self, prompts: Sequence[Sequence[int]], wrong: Sequence[int], *, temperature: float
    ) -> NotFiniteError:
        """Return the error that names the role, and the prompts for whose completions it gave no distribution."""
        ends = [" ".join(self.backbone.tokens.text(prompts[i][-PROMPT:]).split()) for i in wrong[:3]]
        named = ", ".join(f"prompt {i} '...{end}'" for i, end in zip(wrong, ends, strict=False))
        found = f"its logits over temperature {temperature:g} are not finite for {len(wrong)} of {len(prompts)} prompts"
        remedy = (
            "a smaller learning rate where the role was trained, model.dtype=float32, or a temperature further from 0"
        )
        problem = Problem(f"role {self.role}", f"{found}: {named}", remedy)
        return NotFiniteError("there is no distribution to sample from", [problem])


def _hand_on(on_finished: OnFinished, batch: Sequence[int], row: int, completion: Completion) -> None:
    on_finished(batch[row], completion)


def _decode(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    uniform_BR: Tensor,
    *,
    temperature: float,
    ended: Callable[[int, Completion], None] | None = None,
) -> list[Completion]:
    rounds = uniform_BR.shape[1]
    session = backbone.session(prompts, room=rounds)
    device, ends = session.last_BH.device, backbone.tokens.ends
    end_E = torch.tensor(sorted(ends), device=device)
    uniform_BR = uniform_BR.to(device)
    token_BR = torch.full(uniform_BR.shape, -1, device=device)
    logprob_BR = torch.zeros(uniform_BR.shape, device=device)
    row_B = torch.arange(len(prompts), device=device)  # the rows that are computed
    alive_B = torch.ones_like(row_B, dtype=torch.bool)  # and of these, the ones that have not ended
    going_on = len(prompts)
    for number in range(rounds):
        logits_BV = backbone.head(session.last_BH)
        token_B, logprob_B = draw(logits_BV, uniform_BR[row_B, number], temperature=temperature)
        token_BR[row_B[alive_B], number] = token_B[alive_B]
        logprob_BR[row_B, number] = logprob_B
        ending_B = torch.isin(token_B, end_E)
        ends_B, alive_B = alive_B & ending_B, alive_B & ~ending_B
        alive = int(alive_B.sum())
        if ended is not None and alive < going_on:
            for row in row_B[ends_B].tolist():
                ended(row, _completion(token_BR[row].tolist(), logprob_BR[row].tolist(), ends))
        going_on = alive
        if alive == 0 or number == rounds - 1:
            break
        if alive <= KEEP * len(row_B):
            row_B, token_B = row_B[alive_B], token_B[alive_B]
            session.select(alive_B.nonzero().squeeze(1))
            alive_B = torch.ones_like(row_B, dtype=torch.bool)
        session.step(token_B)
    completions = [
        _completion(row, logprobs, ends) for row, logprobs in zip(token_BR.tolist(), logprob_BR.tolist(), strict=True)
    ]
    if ended is not None:
        for row, completion in enumerate(completions):
            if not completion.finished:
                ended(row, completion)
    return completions


def _completion(tokens: Sequence[int], logprobs: Sequence[float], ends: Collection[int]) -> Completion:
    kept = [token for token in tokens if token >= 0]
    return Completion(tuple(kept), tuple(logprobs[: len(kept)]), kept[-1] in ends)
