"""One frozen language model, and LoRA adapters on it by role.

Switching roles switches which adapter speaks; no weights are copied. Adapters are kept in the
backbone's own precision (an adapter in float32 under a bfloat16 backbone costs half of the speed);
whoever trains one keeps float32 master weights, see ``training/optimizer.py``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from repo_exp.durable import refusals, write_bytes, write_text
from repo_exp.errors import ModelError, Problem
from repo_exp.models import targets
from repo_exp.models.decoder import PRODUCTS, Decoder, Voice, joined, supports, unwrapped
from repo_exp.models.finite import not_finite
from repo_exp.models.library import Body
from repo_exp.models.library_session import Way, library_session
from repo_exp.models.output import Head
from repo_exp.models.packing import Packed, chunks
from repo_exp.models.products import FrozenLinear
from repo_exp.models.roles import BASE, COPIES, SCALAR_ROLES
from repo_exp.models.session import DecoderSession, Session
from repo_exp.models.tokens import ChatTokenizer, end_tokens

WORTH_MERGING = 512  # sampled tokens from which adding an adapter into a copy of the weights pays


@dataclass(frozen=True, slots=True)
class Route:
    """Who runs the passes. ``probe.settle`` chooses the fastest that says what the model itself says.

    Attributes:
        rows: ``own`` is :mod:`decoder`; ``packed`` and ``apart`` are the two layouts of :mod:`library`.
        growing: how replies grow: ``own``, or one of the ways of :mod:`library_session`.
        plain_head: are logits one product of hidden states with the output layer, and nothing else?
    """

    rows: Literal["own", "packed", "apart"]
    growing: Literal["own"] | Way
    plain_head: bool


@dataclass(frozen=True, slots=True)
class Passes:
    """The frozen weights as the passes use them on one device."""

    device: torch.device
    decoder: Decoder | None
    body: Body | None
    head: Head


class Backbone(nn.Module):
    """The frozen model, its tokenizer, and the roles that live on it.

    Args:
        model: a causal language model; its weights are frozen here.
        tokenizer: the tokenizer that belongs to it.
        lora: ``rank``, ``alpha``, ``target_modules`` and ``last_layers`` by role (the ``model.lora`` section).
        max_context_tokens: see :class:`ChatTokenizer`.
        engine: ``own`` passes through :mod:`decoder`, ``transformers`` through the library's modules; ``auto`` takes
            the former where it can.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        lora: Mapping[str, Any],
        max_context_tokens: int,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        ends = end_tokens(model, tokenizer)
        self.tokens = ChatTokenizer(tokenizer, max_context_tokens=max_context_tokens, ends=ends)
        self.model = model.requires_grad_(False).eval()
        self.lora = lora
        self.peft: Any = None
        self.heads = nn.ModuleDict()
        # before any adapter wraps them: afterwards the adapters' own matrices are linear layers too
        self.adaptable = targets.adaptable(model)
        self.width: int = model.config.get_text_config().hidden_size  # of hidden states; the probe measures it
        if engine == "own" and not supports(model):
            problem = Problem(
                "model.engine", f"'own' has no passes for {type(model).__name__}", "use model.engine=auto"
            )
            raise ModelError("the model cannot run so", [problem])
        self.engine = engine
        self.takes_own = engine != "transformers" and supports(model)
        self._route = Route("own", "own", True) if self.takes_own else Route("apart", "padded", False)
        self._passes: Passes | None = None
        self._parameters_of: dict[str, dict[str, nn.Parameter]] = {}  # found once a role: it goes through every layer
        self._speaker = BASE
        self._merged: Decoder | None = None  # the speaking role's adapter added in, while it samples

    def train(self, mode: bool = True) -> Backbone:
        """Stay as it is: dropout would make the learner see another model than the sampler does."""
        return super().train(False)

    # -- roles ---------------------------------------------------------------------------------------

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have been added."""
        return tuple(self.peft.peft_config) if self.peft is not None else ()

    def add(self, role: str, *, seed: int) -> None:
        """Add a fresh adapter, and a head for a scalar role. A role that is there starts anew.

        The value head says 0 at first. The reward head is normal with spread 1 / sqrt(H + 1): a head of zeros
        would keep the adapter behind it from learning anything in its first steps.
        """
        self.remove(role)
        config = self._lora_config(role)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if role in SCALAR_ROLES:
                # float32: a scalar decides a whole reply, and its rounding would be seen
                self.heads[role] = nn.Linear(self.width, 1, dtype=torch.float32)
                nn.init.zeros_(self.heads[role].bias)
                nn.init.normal_(self.heads[role].weight, std=0.0 if role == "value" else (self.width + 1) ** -0.5)
            with warnings.catch_warnings(), targets.refusals():
                warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # peft's own business
                warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # it finds out by itself
                if self.peft is None:
                    self.peft = get_peft_model(self.model, config, adapter_name=role, autocast_adapter_dtype=False)
                else:
                    self.peft.add_adapter(role, config, autocast_adapter_dtype=False)
        self.to(self.model.device)
        self._freeze_all()

    def remove(self, role: str) -> None:
        """Forget a role, if it is there. (The last adapter stays until another one takes its place.)"""
        self._parameters_of.clear()
        if role in self.roles:
            if len(self.roles) == 1:
                self.peft.unload()
                self.peft = None
            else:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="Adapter .* was active")  # whoever speaks says so
                    self.peft.delete_adapter(role)
        if role in self.heads:
            del self.heads[role]

    def copy(self, source: str, target: str) -> None:
        """Make ``target`` a role with the adapter weights that ``source`` has now."""
        self.add(target, seed=0)
        set_peft_model_state_dict(self.peft, get_peft_model_state_dict(self.peft, adapter_name=source), target)
        self._freeze_all()

    def parameters_of(self, role: str) -> dict[str, nn.Parameter]:
        """Return the weights of a role by name, head included, in a stable order."""
        self._require(role)
        if role not in self._parameters_of:
            found = {name: p for name, p in self.peft.named_parameters() if f".{role}." in name and "lora_" in name}
            if role in self.heads:
                found |= {f"head.{name}": p for name, p in self.heads[role].named_parameters()}
            self._parameters_of[role] = dict(sorted(found.items()))
        return self._parameters_of[role]

    def weights_of(self, role: str) -> dict[str, Tensor]:
        """Return the weights of a role by names without the role in them; they are the live ones."""
        return {name.replace(f".{role}.", "."): p.detach() for name, p in self.parameters_of(role).items()}

    def take(self, role: str, weights: Mapping[str, Tensor]) -> None:
        """Give a role weights that :meth:`weights_of` returned, of this role or of one with the same shape."""
        for name, weight in self.weights_of(role).items():
            weight.copy_(weights[name])

    @contextmanager
    def speaking(self, role: str, *, training: bool = False) -> Iterator[None]:
        """Let one role speak (``base``: none of them); with ``training`` its weights, and no others, take gradients."""
        before, self._speaker = self._speaker, role
        learning: list[nn.Parameter] = []
        try:
            if role == BASE:
                with self.peft.disable_adapter() if self.peft is not None else nullcontext():
                    yield
                return
            self._require(role)
            if self.peft.active_adapter != role:  # it goes through every layer
                self.peft.set_adapter(role, inference_mode=True)
            if training:
                learning = list(self.parameters_of(role).values())
                for weight in learning:
                    weight.requires_grad_(True)
            yield
        finally:
            self._speaker, self._merged = before, None
            for weight in learning:
                weight.requires_grad_(False)

    # -- passes --------------------------------------------------------------------------------------

    def hidden(self, packed: Packed) -> Tensor:
        """Return the last hidden states of packed rows, (B, T, H), in the voice of the speaking role."""
        placed = self._placed()
        if placed.decoder is not None:
            return placed.decoder.hidden(packed, self._voice())
        return placed.body.packed(packed) if self._route.rows == "packed" else placed.body.apart(packed)

    def hidden_at(self, packed: Packed, index_NR: Tensor) -> Tensor:
        """Return the last hidden states at these tokens of each sequence, (N, R, H); the others cost less."""
        placed = self._placed()
        if placed.decoder is not None:
            return placed.decoder.hidden_at(packed, index_NR, self._voice())
        return packed.gather(self.hidden(packed), index_NR)

    def chunks(self, groups: Sequence[Sequence[Sequence[int]]], budget: int) -> Iterator[list[int]]:
        """Yield the indices of groups of sequences in chunks for a pass; see :func:`packing.chunks`."""
        return chunks(groups, budget, sharing=self._route.rows == "own", apart=not self.packs)

    @property
    def packs(self) -> bool:
        """Do sequences that begin alike share a row, and the computation of their beginning?"""
        return self._route.rows != "apart"

    @property
    def route(self) -> Route:
        """Who runs the passes."""
        return self._route

    def take_route(self, route: Route) -> None:
        """Let the passes run this way from now on."""
        if route != self._route:
            self._route, self._passes, self._merged = route, None, None

    def session(self, contexts: Sequence[Sequence[int]], *, room: int) -> Session:
        """Read contexts in the voice of the speaking role, so that replies of up to ``room`` tokens can grow."""
        placed = self._placed()
        if placed.decoder is None:
            return library_session(placed.body, contexts, pad=self.tokens.pad, way=self._route.growing)
        decoder, voice = placed.decoder, [] if self._merged is not None else self._voice()
        if any(voice) and decoder.can_merge and len(contexts) * room >= WORTH_MERGING:
            self._merged = decoder.merged(voice)
        if self._merged is not None:
            decoder, voice = self._merged, [{} for _ in decoder.layers]
        return DecoderSession(decoder, voice, contexts, room=room, pad=self.tokens.pad)

    @property
    def head(self) -> Head:
        """Hidden states to logits: the output layer, or the model's own way where there is more to it."""
        return self._placed().head

    @cached_property
    def answers(self) -> tuple[list[int], list[int]]:
        """The tokens that "yes" and "no" begin with, without those that both begin with: they tell nothing apart.

        Raises:
            ModelError: nothing is left of one of them.
        """
        yes, no = ({*self.tokens.answer_tokens(answer)} for answer in ("yes", "no"))
        if not (yes - no and no - yes):
            found = "its tokenizer begins 'yes' and 'no' with the same token, so their chances cannot be told apart"
            remedy = "judge=openai or judge=none; or a model whose tokenizer has words"
            raise ModelError("the local judge cannot answer", [Problem("judge.kind", found, remedy)])
        return sorted(yes - no), sorted(no - yes)

    def scalar(self, role: str, hidden_NRH: Tensor) -> Tensor:
        """Return what a scalar head says of hidden states: (N, R), float32."""
        return self.heads[role](hidden_NRH.float()).squeeze(-1)

    # -- disk ----------------------------------------------------------------------------------------

    def save(self, role: str, folder: Path) -> None:
        """Write a role: the adapter in peft's own format, and the head beside it.

        ``PeftModel.from_pretrained(model, folder)`` reads the adapter without this package.

        Raises:
            WriteError: the disk refuses.
        """
        self._require(role)
        state = get_peft_model_state_dict(self.peft, adapter_name=role)
        weights = {name: value.contiguous() for name, value in state.items()}
        write_bytes(folder / "adapter_model.safetensors", as_bytes(weights))
        with refusals(folder):
            self.peft.peft_config[role].save_pretrained(folder)
        # peft keeps the targets as a set, whose order is another one in every process
        path = folder / "adapter_config.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        told["target_modules"] = sorted(told["target_modules"])
        write_text(path, json.dumps(told, indent=2, sort_keys=True))
        if role in self.heads:
            write_bytes(folder / "head.safetensors", as_bytes(self.heads[role].state_dict()))

    def load(self, role: str, folder: Path) -> None:
        """Read a role that :meth:`save` wrote.

        Raises:
            ModelError: the folder does not hold an adapter of this shape, or its weights are not finite.
        """
        self.add(role, seed=0)
        try:
            names = ["adapter_model.safetensors", *(["head.safetensors"] if role in self.heads else [])]
            weights, *head = (load_file(folder / name) for name in names)
            if broken := not_finite({name: weight for each in (weights, *head) for name, weight in each.items()}):
                raise ValueError(f"{len(broken)} weights are not finite, the first is {broken[0]}")
            result = set_peft_model_state_dict(self.peft, weights, role)
            missing = [name for name in result.missing_keys if f".{role}." in name]
            if missing or result.unexpected_keys:
                raise ValueError(f"{len(missing)} weights missing, {len(result.unexpected_keys)} unknown")
            if head:
                self.heads[role].load_state_dict(head[0])
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            self.remove(role)
            remedy = "was it made with the same model and model.lora? If it is broken, remove its artifact's folder"
            raise ModelError(
                f"the {role} adapter cannot be read", [Problem(str(folder), str(error).splitlines()[0], remedy)]
            ) from error
        self._freeze_all()

    # -- inside --------------------------------------------------------------------------------------

    def _placed(self) -> Passes:
        """Return the passes over the weights where they are now: moving them to another device makes new tensors."""
        device = self.model.device
        if self._passes is None or self._passes.device != device:
            own = self._route.rows == "own"
            decoder, body = (Decoder(self.model), None) if own else (None, Body(self.model))
            plain = self._route.plain_head or body is None
            head = FrozenLinear([self.model.get_output_embeddings()]) if plain else body.logits
            self._passes = Passes(device, decoder, body, head)
        return self._passes

    def _voice(self) -> Voice:
        """Return the speaking role's low-rank factors, joined as the decoder's products are."""
        role, layers = self._speaker, self.model.model.layers
        if role == BASE or self.peft is None:
            return [{} for _ in layers]

        def factors(layer: nn.Module, name: str) -> tuple[int, Tensor | None, Tensor | None]:
            module: Any = layer.get_submodule(name)
            outputs = unwrapped(module).out_features
            if role not in getattr(module, "lora_A", ()):
                return outputs, None, None
            return outputs, module.lora_A[role].weight, module.lora_B[role].weight * module.scaling[role]

        voice = []
        for layer in layers:
            found = {product: joined([factors(layer, n) for n in names]) for product, names in PRODUCTS.items()}
            voice.append({product: pair for product, pair in found.items() if pair is not None})
        return voice

    def _lora_config(self, role: str) -> LoraConfig:
        last = self.lora["last_layers"].get("policy" if role in COPIES else role)
        layers = self.model.config.get_text_config().num_hidden_layers if last is not None else 0
        return LoraConfig(
            r=self.lora["rank"],
            lora_alpha=self.lora["alpha"],
            target_modules=targets.chosen(self.lora["target_modules"], self.adaptable),
            exclude_modules=targets.excluded(self.model, self.adaptable),
            layers_to_transform=None if last is None else list(range(max(layers - last, 0), layers)),
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )

    def _freeze_all(self) -> None:
        self.requires_grad_(False)
        self.eval()

    def _require(self, role: str) -> None:
        if role not in self.roles:
            raise ModelError(
                "a role is not there yet",
                [Problem("role", f"'{role}'", f"there are: {', '.join(self.roles) or 'none'}")],
            )
