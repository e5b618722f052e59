"""Forward passes through the modules of ``transformers`` and ``peft``: for any causal language model.

Hidden states are what the model's body returns; logits are what the model's own forward pass makes of them, so
whatever comes between body and softmax (a scale, a divisor, a cap) is included. Rows are either packed, with a mask
that lets sequences share a prefix, or one for each sequence, padded on the right, with the plain mask that every model
takes. Slower than :mod:`decoder`.

Legend: B rows, T columns, N sequences, L tokens of the longest, M tokens, H hidden size, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from repo_exp.models.packing import Packed

CACHES = ("past_key_values", "cache_params", "state")  # what models call their cache


class Body:
    """The part of a causal language model below its output layer, and how it is called.

    Args:
        model: the whole model; adapters may be wrapped around its layers.

    Raises:
        ValueError: no module below the output layer was found.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.module = model, _body_of(model)
        parameters = inspect.signature(self.module.forward).parameters
        self._takes_positions, self._takes_cache = "position_ids" in parameters, "use_cache" in parameters
        self.cache_name = next((name for name in CACHES if name in parameters), None)

    def forward(
        self,
        token_BT: Tensor,
        mask: Tensor | None,
        position_BT: Tensor | None = None,
        *,
        cache: Any = None,  # of a class of the model's own
        keep: bool = False,
    ) -> tuple[Tensor, Any]:
        """Return the last hidden states, (B, T, H), and with ``keep`` the model's cache.

        Args:
            mask: (B, columns) with 1 where a token is, those in the cache included; or a bias of four dimensions; or
                None where nothing is padded.
            position_BT: the tokens' positions; dropped where a model counts by itself.
        """
        arguments: dict[str, Any] = {"input_ids": token_BT, "attention_mask": mask}
        if position_BT is not None and self._takes_positions:
            arguments["position_ids"] = position_BT
        if self._takes_cache:
            arguments["use_cache"] = keep
        if cache is not None and self.cache_name is not None:
            arguments[self.cache_name] = cache
        output = self.module(**arguments)
        return output[0], getattr(output, self.cache_name, None) if keep and self.cache_name else None

    def packed_rows(self, packed: Packed) -> Tensor:
        """Return the hidden states of packed rows, (B, T, H). For models whose attention is full and causal only."""
        device = self.model.device
        bias = packed.attention_bias(self.model.dtype).to(device)
        return self.forward(packed.token_BT.to(device), bias, packed.position_BT.to(device))[0]

    def separate_rows(self, packed: Packed) -> Tensor:
        """Return the same with a row of its own for each sequence: (B, T, H), in the places of the packed rows.

        A prefix that sequences share is computed for each of them, and one of these fills the common place: they are
        the same function of the weights, so their gradients are the same too.
        """
        device, length = self.model.device, packed.column_NL.shape[1]
        mask_NL = torch.arange(length)[None] < packed.length_N[:, None]
        row_NL = packed.row_N[:, None].expand_as(packed.column_NL)
        hidden_NLH, _ = self.forward(packed.token_BT[row_NL, packed.column_NL].to(device), mask_NL.long().to(device))
        source_BT = torch.zeros_like(packed.token_BT)
        source_BT[row_NL[mask_NL], packed.column_NL[mask_NL]] = mask_NL.flatten().nonzero().squeeze(1)
        return hidden_NLH.flatten(0, 1)[source_BT.to(device)]

    def logits(self, hidden_MH: Tensor) -> Tensor:
        """Return the logits, (M, V), that the model's own forward pass makes of hidden states."""
        token_1M = torch.zeros(1, len(hidden_MH), dtype=torch.long, device=hidden_MH.device)
        with _returning(self.module, hidden_MH[None]):
            return self.model(input_ids=token_1M).logits[0]


def _body_of(model: PreTrainedModel) -> nn.Module:
    """Return the module whose output the model's forward pass hands to its output layer."""
    inner = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    candidates = [module for module in (model.base_model, model.get_decoder(), *inner) if module is not model]
    called: list[nn.Module] = []
    hooks = [module.register_forward_hook(lambda m, *_: called.append(m)) for module in candidates]
    try:
        with torch.no_grad():
            model(input_ids=torch.zeros(1, 2, dtype=torch.long, device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    if not any(module in called for module in candidates):
        raise ValueError(f"no body was found below the output layer of {type(model).__name__}")
    return next(module for module in candidates if module in called)


class _BodyOutput(tuple):
    """The output of a body with hidden states and nothing else."""

    @property
    def last_hidden_state(self) -> Tensor:
        return self[0]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


@contextmanager
def _returning(module: nn.Module, hidden: Tensor) -> Iterator[None]:
    """Let a module return these hidden states, whatever its input."""
    output, own = _BodyOutput((hidden,)), vars(module).get("forward")  # an instance may have a forward of its own
    module.forward = lambda *_, **__: output
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


@contextmanager
def called_linear_layers(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[Callable[[], set[str]]]:
    """Record which layers of these kinds are called and return one tensor.

    Some models read a layer's weight past it, and past an adapter; some routers are linear layers that return several
    tensors, which an adapter cannot be added to.
    """
    names: set[str] = set()

    def record(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            names.add(name)

    hooks = [
        module.register_forward_hook(lambda _module, _input, output, name=name: record(name, output))
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        yield lambda: names
    finally:
        for hook in hooks:
            hook.remove()
