"""From hidden states to log-probabilities of tokens.   M tokens, H hidden size, V vocabulary.

Where logits are one product with the output layer, :class:`kernels.TokenLogp` works them out. Where the model does
something else with them, its own forward pass makes them (:meth:`library.Body.logits`), and autograd the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from repo_exp.models.kernels import TokenLogp
from repo_exp.models.products import FrozenLinear

Head = FrozenLinear | Callable[[Tensor], Tensor]


def token_logp(
    hidden_MH: Tensor, head: Head, token_M: Tensor, *, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    """Return log softmax(logits / temperature)[token] and the entropy (0 unless asked for), (M,) each, in nats."""
    piece = TokenLogp if isinstance(head, FrozenLinear) else ModelLogp
    return piece.apply(hidden_MH, head, token_M, temperature, with_entropy)


def token_logits(hidden_MH: Tensor, head: Head, tokens: Sequence[int]) -> Tensor:
    """Return the logits of some tokens, (M, tokens), in float32."""
    chosen = list(tokens)
    if not isinstance(head, FrozenLinear):
        return head(hidden_MH)[:, chosen].float()
    logits = hidden_MH.float() @ head.weights[0][chosen].float().T
    return logits if head.bias is None else logits + head.bias[chosen].float()


class ModelLogp(Function):
    """The same as :class:`TokenLogp` through any function of hidden states that gives logits, token by token.

    The logits of a token depend on its own hidden state only, so the gradient of the sum of a block's log-probabilities
    holds that of each. It is taken along with the forward pass: (M, H) is kept, never M x V.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_MH: Tensor, head: Head, token_M: Tensor, temperature: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        size = len(token_M)
        logp_M, entropy_M = (torch.zeros(size, device=hidden_MH.device) for _ in range(2))
        slope_MH = torch.empty_like(hidden_MH) if ctx.needs_input_grad[0] else None
        for start in range(0, size, TokenLogp.BLOCK):
            block = slice(start, start + TokenLogp.BLOCK)
            with torch.set_grad_enabled(slope_MH is not None):
                h_BH = hidden_MH[block].detach().requires_grad_(slope_MH is not None)
                said_BV = head(h_BH).float().div(temperature).log_softmax(-1)
                chosen_B = said_BV.gather(-1, token_M[block, None]).squeeze(-1)
                if slope_MH is not None:
                    (slope_MH[block],) = torch.autograd.grad(chosen_B.sum(), h_BH)
            logp_M[block] = chosen_B.detach()
            if with_entropy:
                said_BV = said_BV.detach()
                entropy_M[block] = -torch.linalg.vecdot(said_BV.exp(), said_BV)
        ctx.save_for_backward(slope_MH)
        ctx.mark_non_differentiable(entropy_M)
        return logp_M, entropy_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dlogp_M: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope_MH,) = ctx.saved_tensors
        return (slope_MH * dlogp_M[:, None]).to(slope_MH.dtype), None, None, None, None
