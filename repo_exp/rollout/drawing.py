"""One token from a softmax, by inverse cumulative sums.   B rows, V vocabulary, G blocks of E tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 256  # tokens of the vocabulary that are summed before one of them is sought


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
    p_BGE = (pad(p_BV, (0, short)) if short else p_BV).unflatten(-1, (-1, BLOCK))  # type: ignore[no-untyped-call]
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
