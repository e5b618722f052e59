"""The ways to run a backbone's forward pass: this package's own decoder, or the modules of ``transformers``.

:mod:`probe` chooses the fastest one that gives the model's own log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from repo_exp.models.adapter_weights import AdapterWeights, no_adapter
from repo_exp.models.decoder import Decoder
from repo_exp.models.output import Head
from repo_exp.models.packed_weights import FrozenLinear
from repo_exp.models.packing import Packed
from repo_exp.models.session import DecoderSession, Session
from repo_exp.models.transformers_body import Body
from repo_exp.models.transformers_session import Decoding, transformers_session

WORTH_MERGING = 512  # sampled tokens from which adding an adapter into a copy of the weights pays


@dataclass(frozen=True, slots=True)
class Route:
    """How a forward pass is run.

    Attributes:
        rows: ``own`` is :mod:`decoder`; ``packed`` and ``separate`` are the two layouts of :mod:`transformers_body`.
        decoding: ``own``, or one of the ways of :mod:`transformers_session`.
        plain_head: are logits one product of hidden states with the output layer, and nothing else?
    """

    rows: Literal["own", "packed", "separate"]
    decoding: Literal["own"] | Decoding
    plain_head: bool


class ForwardPath(Protocol):
    """The forward pass with the active adapter.   B rows, T columns, N sequences, R tokens of each, H hidden size."""

    device: torch.device
    head: Head

    def hidden(self, packed: Packed) -> Tensor:
        """Return the last hidden states of packed rows: (B, T, H)."""
        ...

    def hidden_at(self, packed: Packed, index_NR: Tensor) -> Tensor:
        """Return the last hidden states at these tokens of each sequence: (N, R, H)."""
        ...

    def session(self, prompts: Sequence[Sequence[int]], *, room: int, pad: int) -> Session:
        """Read prompts, so that completions of up to ``room`` tokens can grow."""
        ...

    def adapter_changed(self) -> None:
        """Forget what was computed from the active adapter's weights."""
        ...


def forward_path(model: PreTrainedModel, route: Route, adapter: Callable[[], AdapterWeights]) -> ForwardPath:
    """Return the forward pass of a route over the weights where they are now.

    Args:
        adapter: gives the active adapter's weights; asked by the own decoder only.
    """
    return OwnPath(model, adapter) if route.rows == "own" else TransformersPath(model, route)


class OwnPath:
    """The package's own decoder; while it samples, the adapter is merged into a copy of the weights."""

    def __init__(self, model: PreTrainedModel, adapter: Callable[[], AdapterWeights]) -> None:
        self.device, self.decoder = model.device, Decoder(model)
        self.head: Head = FrozenLinear([model.get_output_embeddings()])
        self.merged: Decoder | None = None
        self._adapter = adapter

    def hidden(self, packed: Packed) -> Tensor:
        return self.decoder.hidden(packed, self._adapter())

    def hidden_at(self, packed: Packed, index_NR: Tensor) -> Tensor:
        return self.decoder.hidden_at(packed, index_NR, self._adapter())

    def session(self, prompts: Sequence[Sequence[int]], *, room: int, pad: int) -> Session:
        decoder = self.decoder
        adapter = no_adapter(decoder.layers) if self.merged is not None else self._adapter()
        if any(adapter) and decoder.can_merge and len(prompts) * room >= WORTH_MERGING:
            self.merged = decoder.merged(adapter)
        if self.merged is not None:
            decoder, adapter = self.merged, no_adapter(decoder.layers)
        return DecoderSession(decoder, adapter, prompts, room=room, pad=pad)

    def adapter_changed(self) -> None:
        self.merged = None


class TransformersPath:
    """The modules of ``transformers``, around which ``peft`` has wrapped the adapters."""

    def __init__(self, model: PreTrainedModel, route: Route) -> None:
        self.device, self.body, self.route = model.device, Body(model), route
        self.head: Head = FrozenLinear([model.get_output_embeddings()]) if route.plain_head else self.body.logits

    def hidden(self, packed: Packed) -> Tensor:
        return self.body.packed_rows(packed) if self.route.rows == "packed" else self.body.separate_rows(packed)

    def hidden_at(self, packed: Packed, index_NR: Tensor) -> Tensor:
        return packed.gather(self.hidden(packed), index_NR)

    def session(self, prompts: Sequence[Sequence[int]], *, room: int, pad: int) -> Session:
        assert self.route.decoding != "own"
        return transformers_session(self.body, prompts, pad=pad, decoding=self.route.decoding)

    def adapter_changed(self) -> None:
        """Nothing: the modules read the weights at each call."""
