"""The forward pass of the Llama family, written for speed over the backbone's own weights.

Serves every role: an adapter is handed in as low-rank factors beside the frozen products. Layers that have
no adapter and come before the first that has one keep nothing for a backward pass. Models of another
make, or with a setting that is not here, run through ``library.py``.

Legend: B rows, T columns, M tokens that are computed (no padding, what rows share once), H hidden size, Q query heads,
P key-value heads, D channels of a head, S keys of a row, N sequences, R tokens of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from repo_exp.models.cache import Cache
from repo_exp.models.kernels import (
    AdaptedLinear,
    Attention,
    Factors,
    PlainLinear,
    RMSNorm,
    Rotary,
    SwiGLU,
    apply,
    beginning_attention,
)
from repo_exp.models.layout import Layout, Pick
from repo_exp.models.packing import Packed
from repo_exp.models.products import FrozenLinear

FAMILY = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
# the linear layers of a decoder layer, by the product that they are joined into
PRODUCTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
Voice = Sequence[Mapping[str, Factors]]  # per layer: product -> factors


def supports(model: nn.Module) -> bool:
    """Is this a model whose forward pass is written here?"""
    config: Any = model.config
    sliding = getattr(config, "use_sliding_window", False) or "sliding_attention" in (
        getattr(config, "layer_types", None) or ()
    )
    return type(model).__name__ in FAMILY and config.hidden_act in ("silu", "swish") and not sliding


def unwrapped(module: nn.Module) -> Any:
    """Return the layer itself where an adapter is wrapped around it."""
    return getattr(module, "base_layer", module)


@dataclass(frozen=True, slots=True)
class Layer:
    """The frozen parts of one decoder layer."""

    products: Mapping[str, FrozenLinear]
    attention_norm: nn.Module
    mlp_norm: nn.Module
    query_norm: nn.Module | None
    key_norm: nn.Module | None


class Decoder:
    """A frozen model of the Llama family.

    Args:
        model: a causal language model that :func:`supports` accepts; adapters may be wrapped around its layers.
    """

    def __init__(self, model: Any) -> None:
        core, config = model.model, model.config
        self.embedding, self.norm, self.rotary = core.embed_tokens, core.norm, core.rotary_emb
        self.eps = config.rms_norm_eps
        self.layers = [
            Layer(
                {
                    product: FrozenLinear([unwrapped(layer.get_submodule(name)) for name in names])
                    for product, names in PRODUCTS.items()
                },
                layer.input_layernorm,
                layer.post_attention_layernorm,
                getattr(layer.self_attn, "q_norm", None),
                getattr(layer.self_attn, "k_norm", None),
            )
            for layer in core.layers
        ]
        self.key_value_heads = config.num_key_value_heads
        self.query_heads = config.num_attention_heads
        self.channels = core.layers[0].self_attn.head_dim
        self.scale = self.channels**-0.5

    @property
    def can_merge(self) -> bool:
        """Is a merged copy small beside what the process holds? It is where weights are packed: on a CPU."""
        return all(product.is_packed for product in self.layers[0].products.values())

    def merged(self, voice: Voice) -> Decoder:
        """Return this model with an adapter added into a copy of its products; it takes no voice of its own."""
        other = copy(self)
        other.layers = [
            replace(
                layer,
                products={
                    name: product.merged(factors[name].a_KH, factors[name].b_NK) if name in factors else product
                    for name, product in layer.products.items()
                },
            )
            for layer, factors in zip(self.layers, voice, strict=True)
        ]
        return other

    def hidden(self, packed: Packed, voice: Voice) -> Tensor:
        """Return the last hidden states of packed rows, (B, T, H); 0 where padding is."""
        layout, states_MH = self._read(packed, voice)
        return layout.everywhere(states_MH)

    def hidden_at(self, packed: Packed, index_NR: Tensor, voice: Voice) -> Tensor:
        """Return the last hidden states at these tokens of each sequence, (N, R, H); others leave before the end."""
        _, states_MH = self._read(packed, voice, index_NR)
        return states_MH.view(*index_NR.shape, -1)

    def _read(self, packed: Packed, voice: Voice, index_NR: Tensor | None = None) -> tuple[Layout, Tensor]:
        device, dtype = self.embedding.weight.device, self.embedding.weight.dtype
        rows, columns = packed.token_BT.shape
        real_BT = (torch.arange(columns)[None] < packed.width_B[:, None]).to(device)
        layout, wanted = Layout(rows, columns, shared=packed.shared, real_BT=real_BT), None
        if index_NR is not None:
            column_NR = packed.column_NL.gather(1, index_NR)
            wanted = layout.place(packed.row_N[:, None].to(device), column_NR.to(device)).flatten()
        states_MH = self.run(
            packed.token_BT.to(device),
            packed.position_BT.to(device),
            packed.attention_bias(dtype).to(device),
            voice,
            layout=layout,
            wanted=wanted,
        )
        return layout, states_MH

    def run(
        self,
        token_BT: Tensor,
        position_BT: Tensor,
        bias: Tensor,
        voice: Voice,
        cache: Cache | None = None,
        *,
        layout: Layout | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states of the tokens one after the other, (M, H); with a cache, go on behind it.

        Args:
            bias: (B, 1, T, columns) with the columns of the cache first, but for those that all its rows begin with.
            layout: which tokens are computed, and which only once for all rows (not with a cache); None is all.
            wanted: places in the line whose states are returned, in this order; None is all of them.
        """
        layout = Layout(*token_BT.shape) if layout is None else layout
        if cache is not None and layout.shared:
            raise ValueError("what rows of a cache share is held by the cache: the layout must share nothing")
        x_MH = self.embedding(layout.in_line(token_BT))
        # both halves of a head turn by the same angles
        cos, sin = (
            part[0, :, None, : self.channels // 2] for part in self.rotary(x_MH, layout.in_line(position_BT)[None])
        )
        # of the last layer only keys and values are wanted of every token
        kept, places = (None, None) if wanted is None else torch.unique(wanted, return_inverse=True)
        last = len(self.layers) - 1
        for number, (layer, factors) in enumerate(zip(self.layers, voice, strict=True)):
            normed = self._norm(x_MH, layer.attention_norm)
            heads_MN = _product(normed, layer, factors, "qkv")
            q, k, v = self._heads(heads_MN, layer, (cos, sin))
            if cache is None:
                mixed = self._mix(q, k, v, layout, bias)
            else:
                mixed = self._go_on(q, k, v, layout, bias, cache, number)
            if number == last and kept is not None:
                mixed, x_MH = apply(Pick, mixed, kept), apply(Pick, x_MH, kept)
            x_MH = x_MH + _product(mixed, layer, factors, "o")
            gated = apply(SwiGLU, _product(self._norm(x_MH, layer.mlp_norm), layer, factors, "gate_up"))
            x_MH = x_MH + _product(gated, layer, factors, "down")
        if cache is not None:
            cache.advance(token_BT.shape[1])
        x_MH = self._norm(x_MH, self.norm)
        return x_MH if places is None else x_MH.index_select(0, places)

    def _heads(self, heads_MN: Tensor, layer: Layer, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (M, Q, D), keys and values (M, P, D) of the joined product, turned by their positions."""
        q_heads, kv_heads, channels = self.query_heads, self.key_value_heads, self.channels
        qk, v = heads_MN.split(((q_heads + kv_heads) * channels, kv_heads * channels), -1)
        qk = qk.view(-1, q_heads + kv_heads, channels)
        if layer.query_norm is not None and layer.key_norm is not None:
            q, k = qk.split((q_heads, kv_heads), 1)
            qk = torch.cat([self._norm(q, layer.query_norm), self._norm(k, layer.key_norm)], 1)
        q, k = apply(Rotary, qk, *angles).split((q_heads, kv_heads), 1)
        return q, k, v.view(-1, kv_heads, channels)

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor) -> Tensor:
        """Return what attention makes of queries, keys and values: (M, Q D)."""
        shared = layout.shared
        if not shared:
            return layout.pick(self._attend(layout.spread(q), _in_rows(k, layout), _in_rows(v, layout), bias))
        # the common beginning attends to itself, once; behind it every row sees it and what is its own
        sizes = (shared, len(q) - shared)
        (q_once, q_own), (k_once, k_own), (v_once, v_own) = (each.split(sizes) for each in (q, k, v))
        k_once, v_once = (each[None].transpose(1, 2) for each in (k_once, v_once))
        k_seen, v_seen = _behind(k_once, _in_rows(k_own, layout)), _behind(v_once, _in_rows(v_own, layout))
        return torch.cat(
            [
                self._attend(q_once[None], k_once, v_once, bias[:1, :, :shared, :shared]),
                layout.pick(self._attend(layout.spread(q_own), k_seen, v_seen, bias[:, :, shared:])),
            ]
        )

    def _go_on(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor, cache: Cache, layer: int) -> Tensor:
        """Return the same of rows that go on where a cache ends, and write them into it: (M, Q D)."""
        k, v = cache.put(layer, _in_rows(k, layout), _in_rows(v, layout))
        k, v = (each[:, :, : bias.shape[-1]] for each in (k, v))  # room that the bias does not speak of is empty
        beginning = cache.beginning(layer)
        if beginning is None:
            return layout.pick(self._attend(layout.spread(q), k, v, bias))
        k_once, v_once = beginning
        if layout.columns == 1:  # one token a row
            return beginning_attention(q, k_once[0], v_once[0], k, v, bias, self.scale)
        seen = (_behind(k_once, k), _behind(v_once, v), pad(bias, (k_once.shape[2], 0)))
        return layout.pick(self._attend(layout.spread(q), *seen))

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

    def _norm(self, x: Tensor, norm: Any) -> Tensor:
        return apply(RMSNorm, x, norm.weight, self.eps)


def _in_rows(x: Tensor, layout: Layout) -> Tensor:
    """Return (M, P, D) of tokens in a line as (B, P, T, D)."""
    return layout.spread(x).transpose(1, 2)


def _behind(once: Tensor, own: Tensor) -> Tensor:
    """Return what rows have of their own behind what all of them begin with, (1, P, S, D): (B, P, S + T, D)."""
    return torch.cat([once.expand(len(own), -1, -1, -1), own], 2)


def _product(x_MH: Tensor, layer: Layer, factors: Mapping[str, Factors], product: str) -> Tensor:
    frozen, low = layer.products[product], factors.get(product)
    if low is None:
        return apply(PlainLinear, x_MH, frozen)
    return apply(AdaptedLinear, x_MH, frozen, low.a_KH, low.b_NK, low.blocks)


def joined(parts: Sequence[tuple[int, Tensor | None, Tensor | None]]) -> Factors | None:
    """Return the factors of linear layers that read one input as those of one layer; None where none is adapted.

    Args:
        parts: of each layer the number of outputs, and its A and B (times alpha / rank) if it has any.
    """
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
