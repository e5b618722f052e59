"""From hidden states to log-probabilities of tokens, without holding the logits of all tokens at once.

Logits are one product with the output layer, or what the model's own forward pass makes of hidden states where there is
more to it (:meth:`transformers_body.Body.logits`).   M tokens, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from repo_exp.models.packed_weights import FrozenLinear

Head = FrozenLinear | Callable[[Tensor], Tensor]


def token_logp(
    hidden_MH: Tensor, head: Head, token_M: Tensor, *, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    """Return log softmax(logits / temperature)[token] and the entropy (0 unless asked for), (M,) each, in nats."""
    return TokenLogp.apply(hidden_MH, head, token_M, temperature, with_entropy)


def token_logits(hidden_MH: Tensor, head: Head, tokens: Sequence[int]) -> Tensor:
    """Return the logits of some tokens, (M, tokens), in float32."""
    columns = list(tokens)
    if not isinstance(head, FrozenLinear):
        return head(hidden_MH)[:, columns].float()
    logits = hidden_MH.float() @ head.weights[0][columns].float().T
    return logits if head.bias is None else logits + head.bias[columns].float()


def blocks(tokens: int) -> Iterator[slice]:
    """Yield slices of the tokens whose logits are held at once."""
    for start in range(0, tokens, TokenLogp.BLOCK):
        yield slice(start, start + TokenLogp.BLOCK)


def log_softmax(logits_BV: Tensor, temperature: float) -> Tensor:
    """Return log softmax(logits / temperature) in float32; logits without gradients are overwritten."""
    logits_BV = logits_BV.float()
    scaled_BV = logits_BV.div(temperature) if logits_BV.requires_grad else logits_BV.div_(temperature)
    return scaled_BV.log_softmax(-1)


class TokenLogp(Function):
    """log softmax(logits / temperature)[token] and the entropy, which takes no gradient.

    The logits of a token depend on its own hidden state alone, so d logp / dh is computed along with the forward pass,
    a block of tokens at a time; (M, H) is kept, never M x V.
    """

    BLOCK = 64  # tokens whose logits are held at once

    @staticmethod
    def forward(
        ctx: Any, hidden_MH: Tensor, head: Head, token_M: Tensor, temperature: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        logp_M, entropy_M = (torch.zeros(len(token_M), device=hidden_MH.device) for _ in range(2))
        slope_MH = torch.empty_like(hidden_MH) if ctx.needs_input_grad[0] else None
        for block in blocks(len(token_M)):
            chosen_B1 = token_M[block, None]
            if slope_MH is None:
                logp_BV = log_softmax(head(hidden_MH[block]), temperature)
            else:
                logp_BV, slope_MH[block] = _with_slope(hidden_MH[block], head, chosen_B1, temperature)
            logp_M[block] = logp_BV.gather(-1, chosen_B1).squeeze(-1)
            if with_entropy:
                entropy_M[block] = -torch.linalg.vecdot(logp_BV.exp(), logp_BV)
        ctx.save_for_backward(slope_MH)
        ctx.mark_non_differentiable(entropy_M)
        return logp_M, entropy_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dlogp_M: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope_MH,) = ctx.saved_tensors
        return (slope_MH * dlogp_M[:, None]).to(slope_MH.dtype), None, None, None, None


def _with_slope(hidden_BH: Tensor, head: Head, chosen_B1: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log p of the whole vocabulary, (B, V), and d log p(token) / dh, (B, H).

    With p the softmax and logits h Wᵀ the slope is (W[token] - p W) / temperature. Of other logits autograd gives it,
    from the sum over the block, since no token's logits depend on another's hidden state.
    """
    if isinstance(head, FrozenLinear):
        logp_BV = log_softmax(head(hidden_BH), temperature)
        p_BV = logp_BV.exp()
        p_BV.scatter_add_(-1, chosen_B1, p_BV.new_full((1, 1), -1.0).expand_as(chosen_B1))
        return logp_BV, head.transposed(p_BV.to(hidden_BH.dtype)).div_(-temperature)
    with torch.enable_grad():
        leaf_BH = hidden_BH.detach().requires_grad_()
        logp_BV = log_softmax(head(leaf_BH), temperature)
        (slope_BH,) = torch.autograd.grad(logp_BV.gather(-1, chosen_B1).sum(), leaf_BH)
    return logp_BV.detach(), slope_BH
