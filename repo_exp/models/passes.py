"""What a role says of token sequences: log-probabilities, values, scores, probabilities of "yes".

Whoever calls decides about gradients; cutting into microbatches is the caller's too, except where
nothing is learnt. Legend: N replies, R tokens of the longest reply, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from repo_exp.models.backbone import Backbone
from repo_exp.models.kernels import TokenLogp
from repo_exp.models.output import token_logits, token_logp
from repo_exp.models.packing import Packed, alike, pack

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class ReplyBatch:
    """Contexts and their replies, laid out for a pass.

    Attributes:
        packed: the rows.
        token_NR: reply tokens, padded.
        mask_NR: True where a reply token is.
        before_NR: for each reply token the index, in its sequence, of the token before it.
    """

    packed: Packed
    token_NR: Tensor
    mask_NR: Tensor
    before_NR: Tensor


def lay_out(contexts: Sequence[Tokens], replies: Sequence[Tokens], *, pad: int) -> ReplyBatch:
    """Lay contexts and replies out; neighbours with the same context share a row, and its computation."""
    width = max(map(len, replies))
    column_R = torch.arange(width)
    start_N, length_N = torch.tensor([len(c) for c in contexts]), torch.tensor([len(r) for r in replies])
    mask_NR = column_R[None] < length_N[:, None]
    before_NR = torch.where(mask_NR, start_N[:, None] + column_R[None] - 1, torch.zeros(()).long())
    token_NR = torch.tensor([[*reply, *[pad] * (width - len(reply))] for reply in replies])
    groups: list[list[list[int]]] = []
    for number, (context, reply) in enumerate(zip(contexts, replies, strict=True)):
        if number == 0 or context != contexts[number - 1]:
            groups.append([])
        groups[-1].append([*context, *reply])
    packed = pack(groups, pad=pad)
    return ReplyBatch(packed, token_NR, mask_NR, before_NR)


def reply_logp(
    backbone: Backbone, batch: ReplyBatch, *, temperature: float = 1.0, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log p(token) of each reply token under the speaking role, in nats, and the entropy if asked for.

    Logits are divided by the sampling temperature, so that these are the probabilities the sampler drew from.
    """
    hidden_NRH = backbone.hidden_at(batch.packed, batch.before_NR)
    mask_NR, token_NR = batch.mask_NR.to(hidden_NRH.device), batch.token_NR.to(hidden_NRH.device)
    chosen = (hidden_NRH[mask_NR], backbone.head, token_NR[mask_NR])
    said = token_logp(*chosen, temperature=temperature, with_entropy=with_entropy)
    logp_NR, entropy_NR = (_scattered(each_M, mask_NR) for each_M in said)
    return logp_NR, entropy_NR if with_entropy else None


@torch.no_grad()
def reply_comparison(
    backbone: Backbone,
    batch: ReplyBatch,
    roles: tuple[str, str],
    compare: Callable[[Tensor, Tensor], Tensor],
    *,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p(token) under either role, and what ``compare`` makes of the two distributions: each (N, R).

    ``compare`` is handed the log-probabilities of the whole vocabulary, (M, V) each, a block of tokens at a time, and
    returns (M,). Padding is 0, and there are no gradients.
    """
    hidden = []
    for role in roles:
        with backbone.speaking(role):
            said_NRH = backbone.hidden_at(batch.packed, batch.before_NR)
            mask_NR = batch.mask_NR.to(said_NRH.device)
            hidden.append(said_NRH[mask_NR])
    token_M = batch.token_NR.to(mask_NR.device)[mask_NR]
    blocks = []
    for start in range(0, len(token_M), TokenLogp.BLOCK):
        block = slice(start, start + TokenLogp.BLOCK)
        said = [backbone.head(each_MH[block]).float().div_(temperature).log_softmax(-1) for each_MH in hidden]
        chosen = [said_BV.gather(-1, token_M[block, None]).squeeze(-1) for said_BV in said]
        blocks.append(torch.stack([*chosen, compare(*said)]))
    first_NR, second_NR, compared_NR = (_scattered(each_M, mask_NR) for each_M in torch.cat(blocks, 1))
    return first_NR, second_NR, compared_NR


def _scattered(said_M: Tensor, mask_NR: Tensor) -> Tensor:
    """Return what was said of the masked tokens in their places, 0 elsewhere."""
    return torch.zeros(mask_NR.shape, device=said_M.device).masked_scatter(mask_NR, said_M)


def reply_values(backbone: Backbone, batch: ReplyBatch, *, of: Literal["state", "action"] = "state") -> Tensor:
    """Return what the value network says at each reply token: (N, R), in reward units.

    ``state`` is V of the state before the token, ``action`` is Q of the token in that state, read at the token.
    """
    index_NR = batch.before_NR + batch.mask_NR if of == "action" else batch.before_NR
    return backbone.scalar("value", backbone.hidden_at(batch.packed, index_NR))


def final_scores(backbone: Backbone, packed: Packed) -> Tensor:
    """Return the reward head's raw score at the last token of each sequence: (N,)."""
    last_NR = (packed.length_N - 1)[:, None]
    return backbone.scalar("reward", backbone.hidden_at(packed, last_NR)).squeeze(1)


def yes_logits(backbone: Backbone, packed: Packed) -> Tensor:
    """Return log P(yes) - log P(no) after the last token of each sequence: (N,); its sigmoid is P(yes)."""
    last_NR = (packed.length_N - 1)[:, None]
    hidden_NH = backbone.hidden_at(packed, last_NR).squeeze(1)
    # the sum over the vocabulary cancels in the difference, so the other logits are not needed
    yes_NV, no_NV = (token_logits(hidden_NH, backbone.head, tokens) for tokens in backbone.answers)
    return yes_NV.logsumexp(-1) - no_NV.logsumexp(-1)


def by_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield the indices in chunks of ``size``, like lengths together, so that little is padded."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def score_replies(
    backbone: Backbone, contexts: Sequence[Tokens], replies: Sequence[Tokens], *, microbatch_tokens: int
) -> list[float]:
    """Return the reward role's raw score of each reply, in the order given."""
    sequences = [[[*context, *reply]] for context, reply in zip(contexts, replies, strict=True)]
    with backbone.speaking("reward"):
        scores = _by_group(backbone, sequences, final_scores, microbatch_tokens=microbatch_tokens)
    return [score for (score,) in scores]


@torch.no_grad()
def answer_yes(backbone: Backbone, prompts: Sequence[Sequence[Tokens]], *, microbatch_tokens: int) -> list[list[float]]:
    """Return the judge role's P(yes) for each prompt; prompts of one group share their beginning and its cost."""
    with backbone.speaking("judge"):
        return _by_group(
            backbone, prompts, lambda *batch: yes_logits(*batch).sigmoid(), microbatch_tokens=microbatch_tokens
        )


def _by_group(
    backbone: Backbone,
    groups: Sequence[Sequence[Tokens]],
    say: Callable[[Backbone, Packed], Tensor],
    *,
    microbatch_tokens: int,
) -> list[list[float]]:
    """Return one number for each sequence of each group; groups that begin alike share a row."""
    found: list[list[float]] = [[] for _ in groups]
    rows = alike(groups) if backbone.packs else [[i] for i, group in enumerate(groups) if group]
    sequences = [[sequence for i in row for sequence in groups[i]] for row in rows]
    for chosen in backbone.chunks(sequences, microbatch_tokens):
        told = iter(say(backbone, pack([sequences[k] for k in chosen], pad=backbone.tokens.pad)).tolist())
        for k in chosen:
            for i in rows[k]:
                found[i] = [next(told) for _ in groups[i]]
    return found
