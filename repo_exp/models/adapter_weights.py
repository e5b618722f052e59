"""The LoRA weights of one role, as the package's own forward pass reads them.

Linear layers that read the same input are one product there, so their low-rank factors are fused as well.
H inputs, N outputs, K ranks of all fused adapters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

# the linear layers of a decoder layer, by the fused projection that they are part of
PROJECTIONS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@dataclass(frozen=True, slots=True)
class Factors:
    """Low-rank factors beside a frozen projection: its outputs get (x Aᵀ) Bᵀ added.

    Attributes:
        a_KH: the factors A of all adapters that read this input, one above the other.
        b_NK: the factors B times alpha / rank, each a block on the diagonal; 0 elsewhere.
        blocks: the outputs and the ranks of each block.
    """

    a_KH: Tensor
    b_NK: Tensor
    blocks: tuple[tuple[slice, slice], ...]


AdapterWeights = Sequence[Mapping[str, Factors]]  # per decoder layer: projection -> factors


class LayerFactors(NamedTuple):
    """The factors of one linear layer; None without an adapter. B is times alpha / rank."""

    outputs: int
    a_KH: Tensor | None = None
    b_NK: Tensor | None = None


def without_adapter(module: nn.Module) -> nn.Linear:
    """Return the linear layer itself where an adapter is wrapped around it."""
    layer = getattr(module, "base_layer", module)
    assert isinstance(layer, nn.Linear)
    return layer


def no_adapter(layers: Iterable[object]) -> AdapterWeights:
    """Return the adapter weights of a model that runs without one."""
    return [{} for _ in layers]


def adapter_weights(layers: Iterable[nn.Module], role: str) -> AdapterWeights:
    """Return the fused factors of a role in each decoder layer; projections that it does not adapt are left out."""
    found = []
    for layer in layers:
        fused = {
            projection: fuse_factors([_factors(layer.get_submodule(name), role) for name in names])
            for projection, names in PROJECTIONS.items()
        }
        found.append({projection: factors for projection, factors in fused.items() if factors is not None})
    return found


def _factors(module: nn.Module, role: str) -> LayerFactors:
    outputs = without_adapter(module).out_features
    if not isinstance(module, LoraLayer) or role not in module.lora_A:
        return LayerFactors(outputs)
    a_KH, b_NK = module.lora_A[role].weight, module.lora_B[role].weight
    assert isinstance(a_KH, Tensor)
    assert isinstance(b_NK, Tensor)
    return LayerFactors(outputs, a_KH, b_NK * module.scaling[role])


def fuse_factors(parts: Sequence[LayerFactors]) -> Factors | None:
    """Return the factors of linear layers that read one input as those of one layer; None where none is adapted."""
    stacked, diagonal, blocks, output, rank = [], [], [], 0, 0
    for outputs, a_KH, b_NK in parts:
        if a_KH is not None and b_NK is not None:
            stacked.append(a_KH)
            blocks.append((slice(output, output + outputs), slice(rank, rank + len(a_KH))))
            rank += len(a_KH)
        diagonal.append((outputs, b_NK))
        output += outputs
    if not stacked:
        return None
    filled = [stacked[0].new_zeros(outputs, 0) if b_NK is None else b_NK for outputs, b_NK in diagonal]
    return Factors(torch.cat(stacked), torch.block_diag(*filled), tuple(blocks))
