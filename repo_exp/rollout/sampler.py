"""Replies sampled in this process, from the current adapter on the shared backbone.   B contexts, V vocabulary.

Every draw hangs on the seed that is handed in, one stream of numbers a reply: which other contexts share
the batch cannot change what a reply draws. The distribution is the plain softmax at the given
temperature, without truncation, so the learner's log-probabilities are those of the tokens drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import by_length


@dataclass(frozen=True, slots=True)
class Sampled:
    """One reply as tokens.

    Attributes:
        tokens: what was drawn, the end-of-sequence token included if it came.
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
) -> list[Sampled]:
    """Let ``role`` answer each context once.

    Args:
        contexts: prompt tokens.
        seed: what the draws hang on, together with a reply's place in ``contexts``.
        temperature: 0 takes the likeliest token instead of drawing.
        max_new_tokens: a reply that has not ended by then is cut off.
        batch_size: contexts that are answered at once.
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
            drawn = _decode(backbone, [contexts[i] for i in chosen], uniform_BR, temperature=temperature)
            for i, reply in zip(chosen, drawn, strict=True):
                replies[i] = reply
    return [reply for reply in replies if reply is not None]


def _decode(
    backbone: Backbone, contexts: Sequence[Sequence[int]], uniform_BR: Tensor, *, temperature: float
) -> list[Sampled]:
    width = max(map(len, contexts))
    device = backbone.model.device
    pad, eos = backbone.tokens.pad, backbone.tokens.eos
    token_BT = torch.tensor([[pad] * (width - len(c)) + list(c) for c in contexts], device=device)
    mask_BT = torch.tensor([[0] * (width - len(c)) + [1] * len(c) for c in contexts], device=device)
    position_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    cache, alive_B = DynamicCache(), torch.ones(len(contexts), dtype=torch.bool, device=device)
    tokens: list[Tensor] = []
    logps: list[Tensor] = []
    for uniform_B in uniform_BR.to(device).unbind(1):
        logits_BV = backbone.model(
            input_ids=token_BT,
            attention_mask=mask_BT,
            position_ids=position_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        token_B, logp_B = draw(logits_BV.float(), uniform_B, temperature=temperature)
        tokens.append(torch.where(alive_B, token_B, -1))
        logps.append(logp_B)
        alive_B &= token_B != eos
        if not alive_B.any():
            break
        token_BT = torch.where(alive_B, token_B, pad)[:, None]
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(contexts), 1)], 1)
        position_BT = position_BT[:, -1:] + 1
    token_BR, logp_BR = torch.stack(tokens, 1), torch.stack(logps, 1)
    replies = []
    for row, logp_row in zip(token_BR.tolist(), logp_BR.tolist(), strict=True):
        kept = [token for token in row if token >= 0]
        replies.append(Sampled(tuple(kept), tuple(logp_row[: len(kept)]), kept[-1] == eos))
    return replies


def draw(logits_BV: Tensor, uniform_B: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Draw a token from softmax(logits / temperature) by inverse cumulative sums; return it and its log-probability.

    ``uniform_B`` lies in [0, 1). At temperature 0 the likeliest token is taken and its log-probability is 0.
    """
    if temperature == 0:
        token_B = logits_BV.argmax(-1)
        return token_B, torch.zeros_like(token_B, dtype=logits_BV.dtype)
    logp_BV = (logits_BV / temperature).log_softmax(-1)
    cumulative_BV = logp_BV.double().exp().cumsum(-1)
    # scaled by the last sum, which rounding leaves a little off 1, so that a token is always found
    target_B1 = uniform_B[:, None].double() * cumulative_BV[:, -1:]
    token_B = torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(-1).clamp(max=logits_BV.shape[-1] - 1)
    return token_B, logp_BV.gather(-1, token_B[:, None]).squeeze(-1)
