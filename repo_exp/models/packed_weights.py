"""Frozen linear layers in the layout that the processor multiplies fastest.

On a CPU a product runs faster on weights that oneDNN has packed: 1.2 to 1.8 times in bfloat16, and in float32 1.2 to
2.4 times for the few rows of a decoding step. So layers that read the same input (q, k and v; gate and up) are fused
and packed once. That copy serves every role: adapters are added beside it. On other devices the model's own weights
are used as they are.   M tokens, H inputs, N outputs, K ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

_TOKENS_HINT = 256  # the number of rows that oneDNN is set up for; the layout was the same for 32 and 2,048


def can_pack(weight: Tensor) -> bool:
    """Can oneDNN pack this weight on this processor?"""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


class FrozenLinear:
    """y = x Wᵀ + b for the rows of one or more linear layers stacked, and the gradient of x.

    Args:
        layers: linear layers of the same input width. Their weights are never changed. Where they are packed
            they also become views of one tensor, so that beside the packed form there is still one copy.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        weights = [layer.weight.detach() for layer in layers]
        self.sizes = [weight.shape[0] for weight in weights]
        biases = [layer.bias for layer in layers]
        self.bias = None if biases[0] is None else torch.cat([bias.detach() for bias in biases])
        self._packed: Tensor | None = None
        if can_pack(weights[0]):
            if len(layers) > 1:
                stacked = torch.cat(weights)
                for layer, view in zip(layers, stacked.split(self.sizes), strict=True):
                    layer.weight.data = view
                weights = [stacked]
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weights[0], _TOKENS_HINT)
        self.weights = weights

    @property
    def is_packed(self) -> bool:
        """Are the weights packed?"""
        return self._packed is not None

    def merged(self, a_KH: Tensor, b_NK: Tensor) -> FrozenLinear:
        """Return y = x (W + B A)ᵀ + b as a packed layer of its own: an adapter that costs nothing to use.

        The sum is rounded to the weights' precision once. It serves the forward pass only: there are no gradients.
        """
        other = object.__new__(FrozenLinear)
        other.sizes, other.bias, other.weights = self.sizes, self.bias, []
        merged_NH = torch.addmm(self.weights[0], b_NK, a_KH)
        other._packed = torch.ops.mkldnn._reorder_linear_weight(merged_NH, _TOKENS_HINT)
        return other

    def __call__(self, x_MH: Tensor) -> Tensor:
        """Return x Wᵀ + b: (M, H) -> (M, N)."""
        if self._packed is not None:
            return torch.ops.mkldnn._linear_pointwise(x_MH, self._packed, self.bias, "none", [], "")
        if len(self.weights) == 1:
            return linear(x_MH, self.weights[0], self.bias)
        y_MN = torch.cat([linear(x_MH, weight) for weight in self.weights], -1)
        return y_MN if self.bias is None else y_MN.add_(self.bias)

    def transposed(self, dy_MN: Tensor) -> Tensor:
        """Return dy W: (M, N) -> (M, H), the gradient of x."""
        if len(self.weights) == 1:
            return dy_MN @ self.weights[0]
        parts = dy_MN.split(self.sizes, -1)
        dx_MH = parts[0] @ self.weights[0]
        for part, weight in zip(parts[1:], self.weights[1:], strict=True):
            dx_MH.addmm_(part, weight)
        return dx_MH
