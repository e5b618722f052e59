"""Forward passes of a role over token sequences: log-probabilities, values, scores, probabilities of "yes".

The caller decides about gradients, and splits into microbatches, except in the functions without gradients.
Legend: N responses, R tokens of the longest response, M tokens, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from repo_exp.models.backbone import Backbone
from repo_exp.models.output import blocks, log_softmax, token_logits, token_logp
from repo_exp.models.packing import Packed, group_by_prefix, pack, padded

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class ResponseBatch:
    """Prompts and their responses, laid out for a forward pass.

    Attributes:
        packed: the rows.
        token_NR: response tokens, padded.
        mask_NR: True at response tokens.
        before_NR: for each response token the index, in its sequence, of the token before it.
    """

    packed: Packed
    token_NR: Tensor
    mask_NR: Tensor
    before_NR: Tensor


def lay_out(prompts: Sequence[Tokens], responses: Sequence[Tokens], *, pad: int) -> ResponseBatch:
    """Lay prompts and responses out; neighbours with the same prompt share a row, and its computation."""
    token_NR = padded(responses, pad)
    column_R = torch.arange(token_NR.shape[1])
    start_N, length_N = torch.tensor([len(c) for c in prompts]), torch.tensor([len(r) for r in responses])
    mask_NR = column_R[None] < length_N[:, None]
    before_NR = torch.where(mask_NR, start_N[:, None] + column_R[None] - 1, torch.zeros(()).long())
    groups: list[list[list[int]]] = []
    for number, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        if number == 0 or prompt != prompts[number - 1]:
            groups.append([])
        groups[-1].append([*prompt, *response])
    packed = pack(groups, pad=pad)
    return ResponseBatch(packed, token_NR, mask_NR, before_NR)


def response_logp(
    backbone: Backbone, batch: ResponseBatch, *, temperature: float = 1.0, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log p(token) of each response token with the active adapter, in nats, and the entropy if asked for.

    Logits are divided by the sampling temperature, so that these are the probabilities the sampler drew from.
    """
    hidden_NRH = backbone.hidden_at(batch.packed, batch.before_NR)
    mask_NR, token_NR = batch.mask_NR.to(hidden_NRH.device), batch.token_NR.to(hidden_NRH.device)
    logp_M, entropy_M = token_logp(
        hidden_NRH[mask_NR], backbone.head, token_NR[mask_NR], temperature=temperature, with_entropy=with_entropy
    )
    return _scatter(logp_M, mask_NR), _scatter(entropy_M, mask_NR) if with_entropy else None


@torch.no_grad()
def response_comparison(
    backbone: Backbone,
    batch: ResponseBatch,
    roles: tuple[str, str],
    compare: Callable[[Tensor, Tensor], Tensor],
    *,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p(token) under each of two roles, and ``compare`` of their distributions: (N, R) each.

    ``compare`` takes the log-probabilities of the whole vocabulary, (M, V) each, a block of tokens at a time, and
    returns (M,). Padding is 0, and there are no gradients.
    """
    hidden = []
    for role in roles:
        with backbone.active_adapter(role):
            hidden_NRH = backbone.hidden_at(batch.packed, batch.before_NR)
            mask_NR = batch.mask_NR.to(hidden_NRH.device)
            hidden.append(hidden_NRH[mask_NR])
    token_M = batch.token_NR.to(mask_NR.device)[mask_NR]
    results = []
    for block in blocks(len(token_M)):
        first_BV, second_BV = (log_softmax(backbone.head(each_MH[block]), temperature) for each_MH in hidden)
        chosen = [logp_BV.gather(-1, token_M[block, None]).squeeze(-1) for logp_BV in (first_BV, second_BV)]
        results.append(torch.stack([*chosen, compare(first_BV, second_BV)]))
    first_NR, second_NR, compared_NR = (_scatter(each_M, mask_NR) for each_M in torch.cat(results, 1))
    return first_NR, second_NR, compared_NR


def _scatter(value_M: Tensor, mask_NR: Tensor) -> Tensor:
    """Return the values of the masked tokens in their places, 0 elsewhere."""
    return torch.zeros(mask_NR.shape, device=value_M.device).masked_scatter(mask_NR, value_M)


def response_values(backbone: Backbone, batch: ResponseBatch, *, of: Literal["state", "action"] = "state") -> Tensor:
    """Return the value network's output at each response token: (N, R), in reward units.

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
    """Yield the indices in chunks of ``size``, similar lengths together, so that little is padded."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def score_responses(
    backbone: Backbone, prompts: Sequence[Tokens], responses: Sequence[Tokens], *, microbatch_tokens: int
) -> list[float]:
    """Return the reward role's raw score of each response, in the order of the arguments."""
    sequences = [[[*prompt, *response]] for prompt, response in zip(prompts, responses, strict=True)]
    with backbone.active_adapter("reward"):
        scores = _by_group(backbone, sequences, final_scores, microbatch_tokens=microbatch_tokens)
    return [score for (score,) in scores]


@torch.no_grad()
def answer_yes(backbone: Backbone, prompts: Sequence[Sequence[Tokens]], *, microbatch_tokens: int) -> list[list[float]]:
    """Return the judge role's P(yes) for each prompt; prompts of one group share their common prefix and its cost."""
    with backbone.active_adapter("judge"):
        return _by_group(
            backbone, prompts, lambda *batch: yes_logits(*batch).sigmoid(), microbatch_tokens=microbatch_tokens
        )


def _by_group(
    backbone: Backbone,
    groups: Sequence[Sequence[Tokens]],
    forward: Callable[[Backbone, Packed], Tensor],
    *,
    microbatch_tokens: int,
) -> list[list[float]]:
    """Return one number for each sequence of each group; groups with a common prefix share a row."""
    found: list[list[float]] = [[] for _ in groups]
    rows = group_by_prefix(groups) if backbone.packs else [[i] for i, group in enumerate(groups) if group]
    sequences = [[sequence for i in row for sequence in groups[i]] for row in rows]
    for chosen in backbone.chunks(sequences, microbatch_tokens):
        packed = pack([sequences[k] for k in chosen], pad=backbone.tokens.pad)
        results = iter(forward(backbone, packed).tolist())
        for k in chosen:
            for i in rows[k]:
                found[i] = [next(results) for _ in groups[i]]
    return found
