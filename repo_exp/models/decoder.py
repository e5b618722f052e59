"""The forward pass of the Llama family, written for speed over the backbone's own weights.

It serves every role: an adapter is given as low-rank factors beside the frozen projections. Layers that have no adapter
and come before the first that has one keep nothing for a backward pass. Models of other architectures, or with a
setting that is not here, run through ``transformers_body.py``.

Legend: B rows, T columns, M tokens that are computed (no padding, a shared prefix once), H hidden size, Q query heads,
P key-value heads, D channels of a head, S keys of a row, N sequences, R tokens of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from repo_exp.models.adapter_weights import PROJECTIONS, AdapterWeights, Factors, without_adapter
from repo_exp.models.cache import Cache
from repo_exp.models.kernels import (
    AdaptedLinear,
    Attention,
    PlainLinear,
    RMSNorm,
    Rotary,
    SwiGLU,
    apply,
    shared_prefix_attention,
)
from repo_exp.models.layout import Gather, Layout
from repo_exp.models.packed_weights import FrozenLinear
from repo_exp.models.packing import Packed

FAMILY = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")


def supports(model: PreTrainedModel) -> bool:
    """Is this a model whose forward pass is written here?"""
    config = model.config
    sliding = getattr(config, "use_sliding_window", False) or "sliding_attention" in (
        getattr(config, "layer_types", None) or ()
    )
    return type(model).__name__ in FAMILY and config.hidden_act in ("silu", "swish") and not sliding


@dataclass(frozen=True, slots=True)
class Layer:
    """The frozen parts of one decoder layer."""

    projections: Mapping[str, FrozenLinear]
    attention_norm: nn.Module
    mlp_norm: nn.Module
    query_norm: nn.Module | None
    key_norm: nn.Module | None


class Decoder:
    """A frozen model of the Llama family.

    Args:
        model: a causal language model that :func:`supports` accepts; adapters may be wrapped around its layers.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        core: Any = model.model  # its class depends on the architecture
        config: Any = model.config
        self.embedding, self.norm, self.rotary = core.embed_tokens, core.norm, core.rotary_emb
        self.eps = config.rms_norm_eps
        self.layers = [
            Layer(
                {
                    projection: FrozenLinear([without_adapter(layer.get_submodule(name)) for name in names])
                    for projection, names in PROJECTIONS.items()
                },
                layer.input_layernorm,
                layer.post_attention_layernorm,
                getattr(layer.self_attn, "q_norm", None),
                getattr(layer.self_attn, "k_norm", None),
            )
            for layer in core.layers
        ]
        self.key_value_heads: int = config.num_key_value_heads
        self.query_heads: int = config.num_attention_heads
        self.channels: int = core.layers[0].self_attn.head_dim
        self.scale = self.channels**-0.5

    @property
    def can_merge(self) -> bool:
        """Is a merged copy small beside what the process holds? It is where weights are packed: on a CPU."""
        return all(projection.is_packed for projection in self.layers[0].projections.values())

    def merged(self, adapter: AdapterWeights) -> Decoder:
        """Return this model with an adapter added into a copy of its projections; it runs without an adapter."""
        other = copy(self)
        other.layers = [
            replace(
                layer,
                projections={
                    name: frozen.merged(factors[name].a_KH, factors[name].b_NK) if name in factors else frozen
                    for name, frozen in layer.projections.items()
                },
            )
            for layer, factors in zip(self.layers, adapter, strict=True)
        ]
        return other

    def hidden(self, packed: Packed, adapter: AdapterWeights) -> Tensor:
        """Return the last hidden states of packed rows, (B, T, H); 0 for padding."""
        layout, states_MH = self._forward_packed(packed, adapter)
        return layout.unflatten(states_MH)

    def hidden_at(self, packed: Packed, index_NR: Tensor, adapter: AdapterWeights) -> Tensor:
        """Return the last hidden states at these tokens of each sequence, (N, R, H); others skip the last layer."""
        _, states_MH = self._forward_packed(packed, adapter, index_NR)
        return states_MH.view(*index_NR.shape, -1)

    def _forward_packed(
        self, packed: Packed, adapter: AdapterWeights, index_NR: Tensor | None = None
    ) -> tuple[Layout, Tensor]:
        device, dtype = self.embedding.weight.device, self.embedding.weight.dtype
        rows, columns = packed.token_BT.shape
        real_BT = (torch.arange(columns)[None] < packed.width_B[:, None]).to(device)
        layout, select = Layout(rows, columns, shared=packed.shared, real_BT=real_BT), None
        if index_NR is not None:
            column_NR = packed.column_NL.gather(1, index_NR)
            select = layout.index_of(packed.row_N[:, None].to(device), column_NR.to(device)).flatten()
        states_MH = self.forward(
            packed.token_BT.to(device),
            packed.position_BT.to(device),
            packed.attention_bias(dtype).to(device),
            adapter,
            layout=layout,
            select=select,
        )
        return layout, states_MH

    def forward(
        self,
        token_BT: Tensor,
        position_BT: Tensor,
        bias: Tensor,
        adapter: AdapterWeights,
        cache: Cache | None = None,
        *,
        layout: Layout | None = None,
        select: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states of the tokens as a flat list, (M, H); with a cache, continue behind it.

        Args:
            bias: (B, 1, T, columns) with the columns of the cache first, but for the prefix that all its rows share.
            layout: which tokens are computed, and which only once for all rows (not with a cache); None is all.
            select: indices in the flat list of the states to return, in this order; None is all of them.

        Raises:
            ValueError: a layout with a shared prefix, and a cache.
        """
        layout = Layout(*token_BT.shape) if layout is None else layout
        if cache is not None and layout.shared:
            raise ValueError("a cache holds the shared prefix of its rows itself: the layout must have none")
        x_MH = self.embedding(layout.flatten(token_BT))
        # both halves of a head turn by the same angles
        cos, sin = (
            part[0, :, None, : self.channels // 2] for part in self.rotary(x_MH, layout.flatten(position_BT)[None])
        )
        # of the last layer only keys and values are needed of every token
        kept, order = (None, None) if select is None else torch.unique(select, return_inverse=True)
        last = len(self.layers) - 1
        for number, (layer, factors) in enumerate(zip(self.layers, adapter, strict=True)):
            normed = self._norm(x_MH, layer.attention_norm)
            heads_MN = _project(normed, layer, factors, "qkv")
            q, k, v = self._heads(heads_MN, layer, (cos, sin))
            if cache is None:
                attended = self._attention(q, k, v, layout, bias)
            else:
                attended = self._cached_attention(q, k, v, layout, bias, cache, number)
            if number == last and kept is not None:
                attended, x_MH = apply(Gather, attended, kept), apply(Gather, x_MH, kept)
            x_MH = x_MH + _project(attended, layer, factors, "o")
            gated = apply(SwiGLU, _project(self._norm(x_MH, layer.mlp_norm), layer, factors, "gate_up"))
            x_MH = x_MH + _project(gated, layer, factors, "down")
        if cache is not None:
            cache.advance(token_BT.shape[1])
        x_MH = self._norm(x_MH, self.norm)
        return x_MH if order is None else x_MH.index_select(0, order)

    def _heads(self, heads_MN: Tensor, layer: Layer, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (M, Q, D), keys and values (M, P, D) of the fused projection, turned by their positions."""
        q_heads, kv_heads, channels = self.query_heads, self.key_value_heads, self.channels
        qk, v = heads_MN.split(((q_heads + kv_heads) * channels, kv_heads * channels), -1)
        qk = qk.view(-1, q_heads + kv_heads, channels)
        if layer.query_norm is not None and layer.key_norm is not None:
            q, k = qk.split((q_heads, kv_heads), 1)
            qk = torch.cat([self._norm(q, layer.query_norm), self._norm(k, layer.key_norm)], 1)
        q, k = apply(Rotary, qk, *angles).split((q_heads, kv_heads), 1)
        return q, k, v.view(-1, kv_heads, channels)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor) -> Tensor:
        """Return the attention of queries to the keys of their rows: (M, Q D)."""
        shared = layout.shared
        if not shared:
            return layout.from_rows(self._attend(layout.to_rows(q), _in_rows(k, layout), _in_rows(v, layout), bias))
        # the shared prefix attends to itself, once; behind it every row sees it and its own tokens
        sizes = (shared, len(q) - shared)
        (q_shared, q_own), (k_shared, k_own), (v_shared, v_own) = (each.split(sizes) for each in (q, k, v))
        k_shared, v_shared = (each[None].transpose(1, 2) for each in (k_shared, v_shared))
        k_all, v_all = _behind(k_shared, _in_rows(k_own, layout)), _behind(v_shared, _in_rows(v_own, layout))
        return torch.cat(
            [
                self._attend(q_shared[None], k_shared, v_shared, bias[:1, :, :shared, :shared]),
                layout.from_rows(self._attend(layout.to_rows(q_own), k_all, v_all, bias[:, :, shared:])),
            ]
        )

    def _cached_attention(
        self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor, cache: Cache, layer: int
    ) -> Tensor:
        """Return the same for rows that continue behind a cache, and write their keys and values into it: (M, Q D)."""
        k, v = cache.put(layer, _in_rows(k, layout), _in_rows(v, layout))
        k, v = (each[:, :, : bias.shape[-1]] for each in (k, v))  # room beyond the bias is empty
        prefix = cache.shared_prefix(layer)
        if prefix is None:
            return layout.from_rows(self._attend(layout.to_rows(q), k, v, bias))
        k_shared, v_shared = prefix
        if layout.columns == 1:  # one token a row
            return shared_prefix_attention(q, k_shared[0], v_shared[0], k, v, bias, self.scale)
        k_all, v_all, bias_all = _behind(k_shared, k), _behind(v_shared, v), pad(bias, (k_shared.shape[2], 0))
        return layout.from_rows(self._attend(layout.to_rows(q), k_all, v_all, bias_all))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Return softmax attention of (B, T, Q, D) queries to (B, P, S, D) keys and values: (B T, Q D)."""
        rows, kv_heads, _, channels = k.shape
        # the query heads that share a key head are further rows of the same product
        q = q.view(rows, -1, kv_heads, self.query_heads // kv_heads, channels).transpose(1, 2)
        columns, group = q.shape[2:4]
        y = apply(
            Attention,
            q.reshape(rows * kv_heads, columns * group, channels),
            k.flatten(0, 1),
            v.flatten(0, 1),
            bias,
            self.scale,
        )
        return y.view(rows, kv_heads, columns, group * channels).transpose(1, 2).reshape(rows * columns, -1)

    def _norm(self, x: Tensor, norm: nn.Module) -> Tensor:
        return apply(RMSNorm, x, norm.weight, self.eps)


def _in_rows(x: Tensor, layout: Layout) -> Tensor:
    """Return (M, P, D) of a flat list of tokens as (B, P, T, D)."""
    return layout.to_rows(x).transpose(1, 2)


def _behind(shared: Tensor, own: Tensor) -> Tensor:
    """Return the shared prefix, (1, P, S, D), in front of what each row has of its own: (B, P, S + T, D)."""
    return torch.cat([shared.expand(len(own), -1, -1, -1), own], 2)


def _project(x_MH: Tensor, layer: Layer, factors: Mapping[str, Factors], projection: str) -> Tensor:
    frozen, low_rank = layer.projections[projection], factors.get(projection)
    if low_rank is None:
        return apply(PlainLinear, x_MH, frozen)
    return apply(AdaptedLinear, x_MH, frozen, low_rank.a_KH, low_rank.b_NK, low_rank.blocks)
