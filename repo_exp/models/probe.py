"""Checks, before any training, that our forward passes give the log-probabilities of ``model(...)``.

A handful of short sequences, some with a common prefix, are read twice: by the model itself, one sequence at a time and
without padding, and as they are read later: side by side, with a shared prefix, and token by token over a cache. Both
without an adapter and with a random one. The fastest route whose log-probabilities agree is taken; where none does, the
run stops. Which of a model's layers can be adapted is found on the way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from repo_exp.errors import ModelError, Problem, RepoExpError
from repo_exp.models import limits, targets
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward_path import Route
from repo_exp.models.packing import WORTH_SHARING, pack
from repo_exp.models.roles import BASE
from repo_exp.models.transformers_body import Body, called_linear_layers
from repo_exp.models.transformers_session import DECODINGS, Decoding

log = logging.getLogger(__name__)

ROLE = "probe"
# mean |difference of log p| over the vocabulary and the last tokens of a sequence, where it is largest: rounding stays
# below (30 layers: 1e-4; in bfloat16 0.19 at the worst token), a mask, a scale or a position that is not the model's
# own lies far above
BOUND = {torch.float32: 1e-3, torch.bfloat16: 0.3}
LONGEST_WINDOW = 96  # a window up to here is crossed by the probe; longer ones are known from the configuration alone
LAST = 8  # tokens of each sequence that are compared; every sequence has as many
STRENGTH = {torch.float32: 1.0, torch.bfloat16: 0.05}  # of the random adapter, relative to a layer's input

Groups = list[list[list[int]]]  # of token sequences, a row each
Reference = dict[str, list[Tensor]]  # role -> log p of the model itself, (T, V) for each sequence


@dataclass(frozen=True, slots=True)
class Gaps:
    """How far a route is from the model itself: nats without and with an adapter, or why it could not be run."""

    nats: dict[str, float]
    failure: str = ""

    def worst(self) -> float:
        """Return the largest of them; infinity where there is none."""
        return max(self.nats.values(), default=float("inf"))

    def __str__(self) -> str:
        listed = ", ".join(f"{gap:.2g} ({name})" for name, gap in self.nats.items())
        return self.failure or f"log-probabilities differ by {listed} nats"


@dataclass(frozen=True, slots=True)
class Settled:
    """The route that was taken, how far it is from the model itself (nats), and the gaps of the rejected ones."""

    route: Route
    gap: float
    rejected: dict[str, Gaps]


@torch.no_grad()
def settle(backbone: Backbone, *, longest: int | None = None) -> Settled:
    """Choose the route of a backbone's forward passes, and let it take that route.

    Args:
        longest: tokens of the longest sequence that can come; None is the longest prompt.

    Raises:
        ConfigError: the sequences are longer than the model, or the adapters cannot be made.
        ModelError: the tokenizer does not fit, or no route gives the model's own log-probabilities.
    """
    model, tokens = backbone.model, backbone.tokens
    config = model.config.get_text_config()
    longest = tokens.max_prompt_tokens if longest is None else longest
    limits.require_room(config, longest=longest, prompt=tokens.max_prompt_tokens)
    limits.fit_tokens(tokens, model.get_input_embeddings().weight.shape[0])
    window = limits.attention_window(config, longest=longest)
    groups = _sequences(backbone, window, longest=longest)
    with _running():
        plain_head = _inspect(backbone, groups[0][0])
    backbone.add(ROLE, seed=0)
    _strengthen(backbone)
    try:
        with _running():
            reference = {role: _by_the_model(backbone, role, groups) for role in (BASE, ROLE)}
        return _choose(backbone, groups, reference, plain_head=plain_head, windowed=window is not None)
    finally:
        backbone.remove(ROLE)


@contextmanager
def _running() -> Iterator[None]:
    """Raise a ModelError where a model's code fails."""
    try:
        yield
    except RepoExpError:
        raise
    except Exception as error:  # its code is someone else's, and may raise anything
        found = f"model(...) raised {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ModelError("the model cannot be run", [Problem("model", found, "use another model")]) from error


def _choose(backbone: Backbone, groups: Groups, reference: Reference, *, plain_head: bool, windowed: bool) -> Settled:
    bound = BOUND[backbone.model.dtype]
    rejected: dict[str, Gaps] = {}

    def accepted(name: str, route: Route, measure: Callable[[Backbone, Groups, Reference], Gaps]) -> float | None:
        backbone.take_route(route)
        gaps = measure(backbone, groups, reference)
        if gaps.worst() <= bound:
            return gaps.worst()
        rejected[name] = gaps
        return None

    own = [Route("own", "own", True)] if backbone.has_own_forward and plain_head and not windowed else []
    packed = [Route("packed", "padded", plain_head)] if not windowed else []
    candidates = [*own] if backbone.engine == "own" else [*own, *packed, Route("separate", "padded", plain_head)]
    for candidate in candidates:
        training = accepted(f"{candidate.rows} rows", candidate, _measure_rows)
        if training is None:
            continue
        decodings: tuple[Literal["own"] | Decoding, ...] = ("own",) if candidate.rows == "own" else DECODINGS
        for decoding in decodings:
            route = Route(candidate.rows, decoding, candidate.plain_head)
            sampling = accepted(f"{decoding} decoding", route, _measure_decoding)
            if sampling is not None:
                gap = max(training, sampling)
                log.info("forward pass: %s rows, %s decoding; %.1e nats from model(...)", route.rows, decoding, gap)
                return Settled(route, gap, rejected)
    raise ModelError(
        "no forward pass gives this model's own log-probabilities",
        [
            Problem(
                "model",
                f"{name}: {gaps} (bound {bound:g} nats)",
                "docs/models.md lists models that are exact; with bfloat16 try model.dtype=float32, with "
                "model.engine=own try model.engine=auto",
            )
            for name, gaps in rejected.items()
        ]
        or [Problem("model.engine", "'own' has no exact forward pass for this model", "model.engine=auto")],
    )


def _sequences(backbone: Backbone, window: int | None, *, longest: int) -> Groups:
    """Return sequences of different lengths in rows: all share a prefix, two share a row, a short window is crossed."""
    rows = backbone.model.get_input_embeddings().weight.shape[0]
    special = {*backbone.tokens.hf.all_special_ids}
    generator = torch.Generator().manual_seed(0)
    start = WORTH_SHARING if window is None or window > LONGEST_WINDOW else window + 4
    start = max(LAST, min(start, longest - 10))  # up to 10 tokens follow

    def draw(count: int) -> list[int]:
        drawn = torch.randint(0, rows, (count + 40,), generator=generator).tolist()
        return ([token for token in drawn if token not in special] or drawn)[:count]

    prefix, prompt = draw(start), draw(2)
    return [
        [[*prefix, *prompt, *draw(4)], [*prefix, *prompt, *draw(3)]],
        [[*prefix, *draw(6), *draw(4)]],
    ]


def _inspect(backbone: Backbone, sequence: Sequence[int]) -> bool:
    """Find which layers can be adapted and how wide hidden states are; return whether logits are a plain product."""
    model = backbone.model
    with called_linear_layers(model, targets.LINEAR) as called:
        body = Body(model)
        token_1T = torch.tensor([list(sequence)], device=model.device)
        hidden_1TH, _ = body.forward(token_1T, torch.ones_like(token_1T))
        if not backbone.roles:
            backbone.adaptable = targets.adaptable(model, called())
    targets.chosen(backbone.lora.target_modules, backbone.adaptable)
    backbone.hidden_size = hidden_1TH.shape[-1]
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return False
    generator = torch.Generator().manual_seed(0)
    for size in (1.0, 100.0):  # a cap shows where logits are large only
        x_MH = (size * torch.randn(8, backbone.hidden_size, generator=generator)).to(model.device, hidden_1TH.dtype)
        try:
            ours, theirs = head(x_MH).float(), body.logits(x_MH).float()
        except RuntimeError:  # the output layer has another width: there is a layer before it
            return False
        rounding = 1e-2 if hidden_1TH.dtype == torch.bfloat16 else 1e-5
        if not torch.allclose(ours, theirs, rtol=rounding, atol=rounding * theirs.std().item()):
            return False
    return True


def _strengthen(backbone: Backbone) -> None:
    """Give the probe's adapter random weights whose outputs are about as large as their inputs."""
    generator, strength = torch.Generator().manual_seed(1), STRENGTH[backbone.model.dtype]
    for name, weight in backbone.weights_of(ROLE).items():
        size = weight.shape[1] ** -0.5 * (strength / backbone.lora.scaling if "lora_B" in name else 1.0)
        weight.copy_(torch.randn(weight.shape, generator=generator) * size)


def _by_the_model(backbone: Backbone, role: str, groups: Groups) -> list[Tensor]:
    """Return log p of the whole vocabulary behind every token, (T, V) a sequence: ``model(...)``, one at a time."""
    logps, device = [], backbone.model.device
    with backbone.active_adapter(role):
        for sequence in (each for group in groups for each in group):
            logits = backbone.model(input_ids=torch.tensor([sequence], device=device)).logits[0]
            logps.append(logits.float().log_softmax(-1))
    return logps


def _gaps(measure: Callable[[str], float], roles: Sequence[str] = (BASE, ROLE)) -> Gaps:
    nats = {}
    for role in roles:
        try:
            gap = measure(role)
        except Exception as error:  # a model's code may raise anything: another route is tried then
            reason = (str(error).splitlines() or [""])[0]
            return Gaps({}, f"{type(error).__name__}: {reason}")
        nats["with adapter" if role == ROLE else "without adapter"] = gap if gap == gap else float("inf")
    return Gaps(nats)


def _measure_rows(backbone: Backbone, groups: Groups, reference: Reference) -> Gaps:
    """Compare rows side by side, as they are trained on, at the last tokens of each sequence."""

    def measure(role: str) -> float:
        packed = pack(groups, pad=backbone.tokens.pad)
        index_NR = packed.length_N[:, None] - LAST + torch.arange(LAST)[None]
        with backbone.active_adapter(role):
            logits = [backbone.head(hidden_RH) for hidden_RH in backbone.hidden_at(packed, index_NR)]
        return max(_gap(ours, theirs[-LAST:]) for ours, theirs in zip(logits, reference[role], strict=True))

    return _gaps(measure)


def _measure_decoding(backbone: Backbone, groups: Groups, reference: Reference) -> Gaps:
    """Compare prompts that are read at once and continued token by token; one row is dropped on the way."""
    sequences = [each for group in groups for each in group]
    rows = list(range(len(sequences)))
    length = [len(sequence) - 4 for sequence in sequences]
    length[1] = length[0]  # two prompts of one length, for sessions that put those side by side

    def measure(role: str) -> float:
        gaps: dict[int, list[float]] = {i: [] for i in rows}
        kept = rows
        with backbone.active_adapter(role):
            session = backbone.session([sequences[i][: length[i]] for i in rows], room=4)
            for step in range(4):
                logits_BV = backbone.head(session.last_BH)
                for ours, i in zip(logits_BV, kept, strict=True):
                    gaps[i].append(_gap(ours[None], reference[role][i][length[i] + step - 1][None]))
                if step == 1:
                    chosen = [2, 0]
                    session.select(torch.tensor(chosen, device=logits_BV.device))
                    kept = [kept[i] for i in chosen]
                following = [sequences[i][length[i] + step : length[i] + step + 1] or [0] for i in kept]
                session.step(torch.tensor(following, device=logits_BV.device).squeeze(1))
        return max(sum(each) / len(each) for each in gaps.values())

    return _gaps(measure, (ROLE,))


def _gap(ours_TV: Tensor, theirs_TV: Tensor) -> float:
    """Return the mean |difference| of two log-probabilities over the vocabulary and the tokens."""
    return (ours_TV.float().log_softmax(-1) - theirs_TV).abs().mean().item()
