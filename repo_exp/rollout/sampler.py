"""Replies sampled in this process, from the current adapter on the shared backbone.   B contexts, V vocabulary.

Every draw hangs on the seed that is handed in, one stream of numbers a reply: which other contexts share
the batch cannot change what a reply draws. The distribution is the plain softmax at the given
temperature, without truncation, so the learner's log-probabilities are those of the tokens drawn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import by_length
from repo_exp.types import Context, Reply, Trajectory

KEEP = 0.75  # ended replies are computed on until no more than this share goes on: moving the cache costs about a token
PROMPT = 24  # last tokens of a prompt that a message shows
BLOCK = 256  # tokens of the vocabulary that are summed before one of them is sought


@dataclass(frozen=True, slots=True)
class Sampled:
    """One reply as tokens.

    Attributes:
        tokens: what was drawn, the token that ended it included if one came.
        logp: the log-probability of each token as the sampler saw it, in nats.
        finished: did it end by itself?
    """

    tokens: tuple[int, ...]
    logp: tuple[float, ...]
    finished: bool


def derived_seed(*parts: object) -> int:
    """Return a seed that hangs on every part, the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


@torch.no_grad()
def sample(
    backbone: Backbone,
    role: str,
    contexts: Sequence[Sequence[int]],
    *,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    finished: Callable[[int, Sampled], None] | None = None,
) -> list[Sampled]:
    """Let ``role`` answer each context once.

    Args:
        contexts: prompt tokens.
        seed: what the draws hang on, together with a reply's place in ``contexts``.
        temperature: 0 takes the likeliest token instead of drawing.
        max_new_tokens: a reply that has not ended by then is cut off.
        batch_size: contexts that are answered at once.
        finished: is handed each reply, and its place in ``contexts``, as soon as it has ended; replies that end
            together come in the order of their batch. What is returned does not hang on it.

    Raises:
        NotFiniteError: the role's logits are not finite, so that there is no distribution to draw from.
    """
    replies: list[Sampled | None] = [None] * len(contexts)
    with backbone.speaking(role):
        for chosen in by_length([len(context) for context in contexts], batch_size):
            # one row of uniform numbers a reply, drawn ahead: the k-th token of reply i always takes number k
            uniform_BR = torch.stack(
                [
                    torch.rand(max_new_tokens, generator=torch.Generator().manual_seed(derived_seed(seed, i)))
                    for i in chosen
                ]
            )
            ended = None if finished is None else partial(_handed_on, finished, chosen)
            drawn = _decode(backbone, [contexts[i] for i in chosen], uniform_BR, temperature=temperature, ended=ended)
            for i, reply in zip(chosen, drawn, strict=True):
                replies[i] = reply
            wrong = [i for i, reply in zip(chosen, drawn, strict=True) if not all(map(math.isfinite, reply.logp))]
            if wrong:
                raise _no_distribution(backbone, role, contexts, wrong, temperature=temperature)
    return [reply for reply in replies if reply is not None]


def _handed_on(finished: Callable[[int, Sampled], None], chosen: Sequence[int], row: int, reply: Sampled) -> None:
    finished(chosen[row], reply)


def _no_distribution(
    backbone: Backbone, role: str, contexts: Sequence[Sequence[int]], wrong: Sequence[int], *, temperature: float
) -> NotFiniteError:
    """Return the error that names the role, and the prompts for whose replies it gave no distribution."""
    ends = [" ".join(backbone.tokens.text(contexts[i][-PROMPT:]).split()) for i in wrong[:3]]
    prompts = ", ".join(f"prompt {i} '...{end}'" for i, end in zip(wrong, ends, strict=False))
    found = f"its logits over temperature {temperature:g} are not finite for {len(wrong)} of {len(contexts)} prompts: "
    remedy = "a smaller learning rate where the role was learnt, model.dtype=float32, or a temperature further from 0"
    return NotFiniteError("there is nothing to draw a token from", [Problem(f"role {role}", found + prompts, remedy)])


def spoken(backbone: Backbone, contexts: Sequence[Context], sampled: Sequence[Sampled]) -> list[Reply]:
    """Return sampled tokens as the replies that they are to their contexts."""
    return [
        Trajectory.single(context, backbone.tokens.text(reply.tokens), reply.finished, len(reply.tokens))
        for context, reply in zip(contexts, sampled, strict=True)
    ]


def _decode(
    backbone: Backbone,
    contexts: Sequence[Sequence[int]],
    uniform_BR: Tensor,
    *,
    temperature: float,
    ended: Callable[[int, Sampled], None] | None = None,
) -> list[Sampled]:
    rounds = uniform_BR.shape[1]
    session = backbone.session(contexts, room=rounds)
    device, ends = session.last_BH.device, backbone.tokens.ends
    end_E = torch.tensor(sorted(ends), device=device)
    uniform_BR = uniform_BR.to(device)
    token_BR = torch.full(uniform_BR.shape, -1, device=device)
    logp_BR = torch.zeros(uniform_BR.shape, device=device)
    row_B = torch.arange(len(contexts), device=device)  # the replies that are computed
    alive_B = torch.ones_like(row_B, dtype=torch.bool)  # and of these, the ones that have not ended
    going_on = len(contexts)
    for number in range(rounds):
        logits_BV = backbone.head(session.last_BH)
        token_B, logp_B = draw(logits_BV, uniform_BR[row_B, number], temperature=temperature)
        token_BR[row_B[alive_B], number] = token_B[alive_B]
        logp_BR[row_B, number] = logp_B
        ending_B = torch.isin(token_B, end_E)
        ends_B, alive_B = alive_B & ending_B, alive_B & ~ending_B
        alive = int(alive_B.sum())
        if ended is not None and alive < going_on:
            for row in row_B[ends_B].tolist():
                ended(row, _reply(token_BR[row].tolist(), logp_BR[row].tolist(), ends))
        going_on = alive
        if alive == 0 or number == rounds - 1:
            break
        if alive <= KEEP * len(row_B):
            row_B, token_B = row_B[alive_B], token_B[alive_B]
            session.select(alive_B.nonzero().squeeze(1))
            alive_B = torch.ones_like(row_B, dtype=torch.bool)
        session.step(token_B)
    replies = [_reply(row, logps, ends) for row, logps in zip(token_BR.tolist(), logp_BR.tolist(), strict=True)]
    if ended is not None:
        for row, reply in enumerate(replies):
            if not reply.finished:
                ended(row, reply)
    return replies


def _reply(tokens: Sequence[int], logps: Sequence[float], ends: Collection[int]) -> Sampled:
    kept = [token for token in tokens if token >= 0]
    return Sampled(tuple(kept), tuple(logps[: len(kept)]), kept[-1] in ends)


def draw(logits_BV: Tensor, uniform_B: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Draw a token from softmax(logits / temperature) by inverse cumulative sums; return it and its log-probability.

    The sums are taken over blocks of the vocabulary first and then inside one block, so that all but a few
    numbers are read only once. ``uniform_B`` lies in [0, 1). At temperature 0 the likeliest token is taken and
    its log-probability is 0. Where logits are NaN or +infinity the log-probability is NaN, and the token any.
    """
    if temperature == 0:
        top_B, token_B = logits_BV.max(-1)
        return token_B, top_B.float() * 0
    scaled_BV = logits_BV if temperature == 1 else logits_BV.float() / temperature
    p_BV = scaled_BV.softmax(-1, dtype=torch.float32)
    short = -p_BV.shape[-1] % BLOCK
    p_BGE = (pad(p_BV, (0, short)) if short else p_BV).unflatten(-1, (-1, BLOCK))
    exact = torch.float32 if logits_BV.device.type == "mps" else torch.float64  # Apple's GPU has no float64
    until_BG = p_BGE.sum(-1).to(exact).cumsum(-1)
    # scaled by the last sum, which rounding leaves a little off 1, so that a token is always found
    below_one = 1 - 4 * torch.finfo(exact).eps
    target_B1 = uniform_B[:, None].to(exact).clamp(max=below_one) * until_BG[:, -1:]
    # clamped for logits that are not finite: in their sums nothing is found, and the end is no place to look at
    block_B1 = torch.searchsorted(until_BG, target_B1, right=True).clamp(max=until_BG.shape[1] - 1)
    inside_BE = p_BGE.gather(1, block_B1[..., None].expand(-1, -1, BLOCK)).squeeze(1).to(exact)
    before_B1 = until_BG.gather(1, block_B1) - inside_BE.sum(-1, keepdim=True)
    inside_BE = inside_BE.cumsum(-1)
    # rounding may put the target a hair outside its block: it is held inside, where a token with a chance is found
    target_B1 = (target_B1 - before_B1).clamp(min=0).minimum(inside_BE[:, -1:] * below_one)
    token_B1 = block_B1 * BLOCK + torch.searchsorted(inside_BE, target_B1, right=True)
    token_B1 = token_B1.clamp(max=p_BV.shape[-1] - 1)
    return token_B1.squeeze(-1), p_BV.gather(-1, token_B1).log().squeeze(-1)
