"""One frozen language model, and LoRA adapters on it by role.

Switching roles switches the active adapter; no weights are copied. Adapters are kept in the backbone's own precision
(an adapter in float32 under a bfloat16 backbone costs half of the speed); an optimiser keeps float32 copies of the
weights it trains.   N sequences, R tokens of each, H hidden size, B rows, T columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from repo_exp.errors import ModelError, Problem
from repo_exp.models import adapter_files, targets
from repo_exp.models.adapter_weights import AdapterWeights, adapter_weights, no_adapter
from repo_exp.models.decoder import supports
from repo_exp.models.forward_path import ForwardPath, Route, forward_path
from repo_exp.models.lora import Lora
from repo_exp.models.output import Head
from repo_exp.models.packing import Packed, chunks
from repo_exp.models.roles import BASE, SCALAR_ROLES
from repo_exp.models.session import Session
from repo_exp.models.tokens import ChatTokenizer, end_tokens


class Backbone(nn.Module):
    """The frozen model, its tokenizer, and the roles that live on it.

    Args:
        model: a causal language model; its weights are frozen here.
        tokenizer: the tokenizer that belongs to it.
        lora: which adapters the roles get.
        max_prompt_tokens: see :class:`ChatTokenizer`.
        engine: ``own`` runs :mod:`decoder`, ``transformers`` the library's modules; ``auto`` takes the former where it
            can.

    Raises:
        ModelError: ``engine`` is ``own`` and the architecture is not the Llama family, or the tokenizer cannot be used.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        lora: Lora,
        max_prompt_tokens: int,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        ends = end_tokens(model, tokenizer)
        self.tokens = ChatTokenizer(tokenizer, max_prompt_tokens=max_prompt_tokens, ends=ends)
        self.model = model.requires_grad_(False).eval()
        self.lora = lora
        self.peft: PeftModel | None = None
        self.heads = nn.ModuleDict()
        # before any adapter wraps them: afterwards the adapters' own matrices are linear layers too
        self.adaptable = targets.adaptable(model)
        self.hidden_size: int = model.config.get_text_config().hidden_size  # of hidden states; the probe measures it
        if engine == "own" and not supports(model):
            found = f"'own' has no forward pass for {type(model).__name__}"
            raise ModelError("the model cannot be run", [Problem("model.engine", found, "use model.engine=auto")])
        self.engine = engine
        self.has_own_forward = engine != "transformers" and supports(model)
        self._route = Route("own", "own", True) if self.has_own_forward else Route("separate", "padded", False)
        self._path: ForwardPath | None = None
        self._parameters_of: dict[str, dict[str, nn.Parameter]] = {}  # found once a role: it goes through every layer
        self._active_role = BASE

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: dropout would give the learner another model than the sampler's."""
        return super().train(False)

    # -- roles ---------------------------------------------------------------------------------------

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have been added."""
        return tuple(self.peft.peft_config) if self.peft is not None else ()

    def add(self, role: str, *, seed: int) -> None:
        """Add a fresh adapter, and a head for a scalar role. A role that is there is replaced.

        The value head starts at 0. The reward head is normal with std 1 / sqrt(H + 1): a head of zeros would keep the
        adapter behind it from learning anything in its first steps.

        Raises:
            ConfigError: the adapter cannot be put on this model.
        """
        self.remove(role)
        config = self.lora.config_of(role, self.model, self.adaptable)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if role in SCALAR_ROLES:
                # float32: one scalar decides a whole response, and its rounding would be seen
                head = nn.Linear(self.hidden_size, 1, dtype=torch.float32)
                nn.init.zeros_(head.bias)
                nn.init.normal_(head.weight, std=0.0 if role == "value" else (self.hidden_size + 1) ** -0.5)
                self.heads[role] = head
            with warnings.catch_warnings(), targets.refusals():
                warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # peft's own business
                warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # it finds out by itself
                if self.peft is None:
                    wrapped = get_peft_model(self.model, config, adapter_name=role, autocast_adapter_dtype=False)
                    assert isinstance(wrapped, PeftModel)
                    self.peft = wrapped
                else:
                    self.peft.add_adapter(role, config, autocast_adapter_dtype=False)
        self.to(self.model.device)
        self._freeze_all()

    def remove(self, role: str) -> None:
        """Remove a role, if it is there. (The last adapter stays until another one takes its place.)"""
        self._parameters_of.clear()
        if self.peft is not None and role in self.roles:
            if len(self.roles) == 1:
                self.peft.unload()
                self.peft = None
            else:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="Adapter .* was active")  # the next pass sets its own
                    self.peft.delete_adapter(role)
        if role in self.heads:
            del self.heads[role]

    def copy(self, source: str, target: str) -> None:
        """Make ``target`` a role with the adapter weights that ``source`` has now.

        Raises:
            ModelError: there is no ``source``.
        """
        self._require(source)
        self.add(target, seed=0)
        peft = self._adapters()
        set_peft_model_state_dict(peft, get_peft_model_state_dict(peft, adapter_name=source), target)
        self._freeze_all()

    def parameters_of(self, role: str) -> dict[str, nn.Parameter]:
        """Return the weights of a role by name, head included, in a stable order.

        Raises:
            ModelError: the role was not added.
        """
        self._require(role)
        if role not in self._parameters_of:
            peft = self._adapters()
            found = {name: p for name, p in peft.named_parameters() if f".{role}." in name and "lora_" in name}
            if role in self.heads:
                found |= {f"head.{name}": p for name, p in self.heads[role].named_parameters()}
            self._parameters_of[role] = dict(sorted(found.items()))
        return self._parameters_of[role]

    def weights_of(self, role: str) -> dict[str, Tensor]:
        """Return the weights of a role by names without the role in them; they are the live ones."""
        return {name.replace(f".{role}.", "."): p.detach() for name, p in self.parameters_of(role).items()}

    def take(self, role: str, weights: Mapping[str, Tensor]) -> None:
        """Copy weights that :meth:`weights_of` returned, of this role or of one with the same shape, into a role."""
        for name, weight in self.weights_of(role).items():
            weight.copy_(weights[name])

    @contextmanager
    def active_adapter(self, role: str, *, training: bool = False) -> Iterator[None]:
        """Run with one role's adapter (``base``: none); with ``training`` its weights, and no others, take gradients.

        Raises:
            ModelError: the role was not added.
        """
        before = self._active_role
        trained: list[nn.Parameter] = []
        self._set_active(role)
        try:
            if role == BASE:
                with self.peft.disable_adapter() if self.peft is not None else nullcontext():
                    yield
                return
            if training:
                trained = list(self.parameters_of(role).values())
                for weight in trained:
                    weight.requires_grad_(True)
            yield
        finally:
            for weight in trained:
                weight.requires_grad_(False)
            self._set_active(before if before in self.roles else BASE)

    # -- forward passes ------------------------------------------------------------------------------

    def hidden(self, packed: Packed) -> Tensor:
        """Return the last hidden states of packed rows, (B, T, H), with the active adapter."""
        return self.path.hidden(packed)

    def hidden_at(self, packed: Packed, index_NR: Tensor) -> Tensor:
        """Return the last hidden states at these tokens of each sequence, (N, R, H); the others cost less."""
        return self.path.hidden_at(packed, index_NR)

    def chunks(self, groups: Sequence[Sequence[Sequence[int]]], budget: int) -> Iterator[list[int]]:
        """Yield the indices of groups of sequences in chunks for a forward pass; see :func:`packing.chunks`."""
        return chunks(groups, budget, sharing=self._route.rows == "own", separate=not self.packs)

    @property
    def packs(self) -> bool:
        """Do sequences with a common prefix share a row, and the computation of the prefix?"""
        return self._route.rows != "separate"

    @property
    def route(self) -> Route:
        """How the forward pass is run."""
        return self._route

    def take_route(self, route: Route) -> None:
        """Run the forward pass this way from now on."""
        if route != self._route:
            self._route, self._path = route, None

    def session(self, prompts: Sequence[Sequence[int]], *, room: int) -> Session:
        """Read prompts with the active adapter, so that completions of up to ``room`` tokens can grow."""
        return self.path.session(prompts, room=room, pad=self.tokens.pad)

    @property
    def head(self) -> Head:
        """Hidden states to logits: the output layer, or the model's own forward pass where there is more to it."""
        return self.path.head

    @property
    def path(self) -> ForwardPath:
        """The forward pass over the weights where they are now: moving them to another device makes new tensors."""
        if self._path is None or self._path.device != self.model.device:
            self._path = forward_path(self.model, self._route, self._adapter_weights)
        return self._path

    @cached_property
    def answers(self) -> tuple[list[int], list[int]]:
        """The first tokens of "yes" and of "no", without those that both begin with, which cannot tell them apart.

        Raises:
            ModelError: nothing is left of one of them.
        """
        yes, no = ({*self.tokens.answer_tokens(answer)} for answer in ("yes", "no"))
        if not (yes - no and no - yes):
            found = "its tokenizer begins 'yes' and 'no' with the same token, so their probabilities cannot be compared"
            remedy = "judge=openai or judge=none; or a model whose tokenizer has words"
            raise ModelError("the local judge cannot answer", [Problem("judge.kind", found, remedy)])
        return sorted(yes - no), sorted(no - yes)

    def scalar(self, role: str, hidden_NRH: Tensor) -> Tensor:
        """Return the output of a scalar head: (N, R), float32."""
        return self.heads[role](hidden_NRH.float()).squeeze(-1)

    # -- disk ----------------------------------------------------------------------------------------

    def save(self, role: str, folder: Path) -> None:
        """Write a role: the adapter in peft's own format, and the head beside it; see :mod:`adapter_files`.

        Raises:
            ModelError: the role was not added.
            WriteError: a file cannot be written.
        """
        self._require(role)
        adapter_files.save(self._adapters(), role, self._head_of(role), folder)

    def load(self, role: str, folder: Path) -> None:
        """Read a role that :meth:`save` wrote.

        Raises:
            ModelError: the folder does not hold an adapter of this shape, or its weights are not finite.
        """
        self.add(role, seed=0)
        try:
            adapter_files.load(self._adapters(), role, self._head_of(role), folder)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            self.remove(role)
            remedy = "was it made with the same model and model.lora? If it is broken, remove its artifact's folder"
            raise ModelError(
                f"the {role} adapter cannot be read", [Problem(str(folder), str(error).splitlines()[0], remedy)]
            ) from error
        self._freeze_all()

    # -- inside --------------------------------------------------------------------------------------

    def _set_active(self, role: str) -> None:
        if role != BASE:
            self._require(role)
            peft = self._adapters()
            if peft.active_adapter != role:  # it goes through every layer
                peft.set_adapter(role, inference_mode=True)
        self._active_role = role
        if self._path is not None:
            self._path.adapter_changed()

    def _adapter_weights(self) -> AdapterWeights:
        """Return the active role's low-rank factors, fused as the decoder's projections are."""
        layers = self.model.model.layers
        if self._active_role == BASE or self.peft is None:
            return no_adapter(layers)
        return adapter_weights(layers, self._active_role)

    def _head_of(self, role: str) -> nn.Module | None:
        return dict(self.heads.items()).get(role)

    def _adapters(self) -> PeftModel:
        assert self.peft is not None, "no role was added"
        return self.peft

    def _freeze_all(self) -> None:
        self.requires_grad_(False)
        self.eval()

    def _require(self, role: str) -> None:
        if role not in self.roles:
            raise ModelError(
                "a role is missing",
                [Problem("role", f"'{role}' was not added", f"one of: {', '.join(self.roles) or 'none'}")],
            )
