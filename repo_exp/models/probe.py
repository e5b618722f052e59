"""Before anything is learnt: do our passes say what ``model(...)`` says?

A handful of short sequences, some of which begin alike, are read twice: by the model itself, one sequence at a time and
without padding, and as the passes read them: side by side, with a shared beginning, and token by token over a cache.
Both with the bare model and with a random adapter. The fastest way whose log-probabilities agree is taken; where none
does, the run stops. Which of a model's layers can be adapted is found on the way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from repo_exp.errors import ModelError, Problem, RepoExpError
from repo_exp.models import limits, targets
from repo_exp.models.backbone import Backbone, Route
from repo_exp.models.library import Body, called_linear_layers
from repo_exp.models.library_session import WAYS
from repo_exp.models.packing import WORTH_SHARING, pack
from repo_exp.models.roles import BASE

log = logging.getLogger(__name__)

ROLE = "probe"
# mean |difference of log p| over the vocabulary and the last tokens of a sequence, where it is largest: rounding stays
# below (30 layers: 1e-4; in bfloat16 0.19 at the worst token), a mask, a scale or a position that is not the model's
# own lies far above
BOUND = {torch.float32: 1e-3, torch.bfloat16: 0.3}
LONGEST_WINDOW = 96  # a window up to here is crossed by the probe; longer ones are known from the configuration alone
LAST = 8  # tokens of each sequence that are looked at; every sequence has as many
STRENGTH = {torch.float32: 1.0, torch.bfloat16: 0.05}  # of the random adapter, relative to a layer's input


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of running the passes gave: nats by what was compared, or why it could not be run."""

    gaps: dict[str, float]
    failure: str = ""

    def worst(self) -> float:
        return max(self.gaps.values(), default=float("inf"))


@dataclass(frozen=True, slots=True)
class Settled:
    """The way that was chosen, how far it is from the model itself (nats), and what was measured of the others."""

    route: Route
    gap: float
    rejected: dict[str, Measured]


@torch.no_grad()
def settle(backbone: Backbone, *, longest: int | None = None) -> Settled:
    """Choose how the passes of a backbone are run, and let it run them so.

    Args:
        longest: tokens of the longest sequence that can come; None is the longest context.

    Raises:
        ConfigError: the sequences are longer than the model, or the adapters cannot be made.
        ModelError: the tokenizer does not fit, or no way of running the passes says what the model says.
    """
    model, tokens = backbone.model, backbone.tokens
    config = model.config.get_text_config()
    longest = tokens.max_context_tokens if longest is None else longest
    limits.require_room(config, longest=longest, context=tokens.max_context_tokens)
    limits.fit_tokens(tokens, model.get_input_embeddings().weight.shape[0])
    window = limits.window(config, longest=longest)
    groups = _sequences(backbone, window, longest=longest)
    with _running():
        plain = _survey(backbone, groups[0][0])
    backbone.add(ROLE, seed=0)
    _strengthen(backbone)
    try:
        with _running():
            wanted = {role: _by_the_model(backbone, role, groups) for role in (BASE, ROLE)}
        return _choose(backbone, groups, wanted, plain=plain, windowed=window is not None)
    finally:
        backbone.remove(ROLE)


@contextmanager
def _running() -> Iterator[None]:
    """Say what a model raises that cannot be run at all as an error of ours."""
    try:
        yield
    except RepoExpError:
        raise
    except Exception as error:  # its code is someone else's, and may raise anything
        found = f"model(...) raised {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ModelError("the model cannot be run", [Problem("model", found, "use another model")]) from error


def _choose(backbone: Backbone, groups: list, wanted: dict, *, plain: bool, windowed: bool) -> Settled:
    bound, rejected = BOUND[backbone.model.dtype], {}

    def accepted(name: str, route: Route, measure: Callable) -> float | None:
        backbone.take_route(route)
        found = measure(backbone, groups, wanted)
        if found.worst() <= bound:
            return found.worst()
        rejected[name] = found
        return None

    own = [Route("own", "own", True)] if backbone.takes_own and plain and not windowed else []
    packed = [Route("packed", "padded", plain)] if not windowed else []
    rows = [*own] if backbone.engine == "own" else [*own, *packed, Route("apart", "padded", plain)]
    for route in rows:
        learning = accepted(f"{route.rows} rows", route, _rows)
        if learning is None:
            continue
        for way in ("own",) if route.rows == "own" else WAYS:
            taken = Route(route.rows, way, route.plain_head)
            sampling = accepted(f"{way} sampling", taken, _growing)
            if sampling is not None:
                log.info("passes: %s rows, %s sampling; %.1e nats from the model's own", route.rows, way,
                         max(learning, sampling))  # fmt: skip
                return Settled(taken, max(learning, sampling), rejected)
    raise ModelError(
        "the passes of this model are not what the model itself says",
        [
            Problem(
                "model",
                f"{name}: {each.failure or _listed(each.gaps)} (bound {bound:g} nats)",
                "docs/models.md lists models that are exact; with bfloat16 try model.dtype=float32, with "
                "model.engine=own try model.engine=auto",
            )
            for name, each in rejected.items()
        ]
        or [Problem("model.engine", "'own' has no exact passes for this model", "model.engine=auto")],
    )


def _listed(gaps: dict[str, float]) -> str:
    return "log-probabilities differ by " + ", ".join(f"{gap:.2g} ({name})" for name, gap in gaps.items()) + " nats"


def _sequences(backbone: Backbone, window: int | None, *, longest: int) -> list[list[list[int]]]:
    """Return sequences of different lengths in rows: all begin alike, two share a row, a short window is crossed."""
    rows = backbone.model.get_input_embeddings().weight.shape[0]
    special = {*backbone.tokens.hf.all_special_ids}
    generator = torch.Generator().manual_seed(0)
    start = WORTH_SHARING if window is None or window > LONGEST_WINDOW else window + 4
    start = max(LAST, min(start, longest - 10))  # up to 10 tokens follow

    def draw(count: int) -> list[int]:
        found = torch.randint(0, rows, (count + 40,), generator=generator).tolist()
        return ([token for token in found if token not in special] or found)[:count]

    beginning, prompt = draw(start), draw(2)
    return [
        [[*beginning, *prompt, *draw(4)], [*beginning, *prompt, *draw(3)]],
        [[*beginning, *draw(6), *draw(4)]],
    ]


def _survey(backbone: Backbone, sequence: Sequence[int]) -> bool:
    """Find which layers can be adapted and how wide hidden states are; return whether logits are a plain product."""
    model = backbone.model
    with called_linear_layers(model, targets.LINEAR) as called:
        body = Body(model)
        token_1T = torch.tensor([list(sequence)], device=model.device)
        hidden_1TH, _ = body.read(token_1T, torch.ones_like(token_1T))
        if not backbone.roles:
            backbone.adaptable = targets.adaptable(model, called())
    targets.chosen(backbone.lora["target_modules"], backbone.adaptable)
    backbone.width = hidden_1TH.shape[-1]
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return False
    generator = torch.Generator().manual_seed(0)
    for size in (1.0, 100.0):  # a cap shows where logits are large only
        x_MH = (size * torch.randn(8, backbone.width, generator=generator)).to(model.device, hidden_1TH.dtype)
        try:
            ours, theirs = head(x_MH).float(), body.logits(x_MH).float()
        except RuntimeError:  # the output layer is not of this width: something stands before it
            return False
        rounding = 1e-2 if hidden_1TH.dtype == torch.bfloat16 else 1e-5
        if not torch.allclose(ours, theirs, rtol=rounding, atol=rounding * theirs.std().item()):
            return False
    return True


def _strengthen(backbone: Backbone) -> None:
    """Give the probe's adapter random weights whose outputs are about as large as what goes in."""
    generator, strength = torch.Generator().manual_seed(1), STRENGTH[backbone.model.dtype]
    scaling = backbone.lora["alpha"] / backbone.lora["rank"]
    for name, weight in backbone.weights_of(ROLE).items():
        size = weight.shape[1] ** -0.5 * (strength / scaling if "lora_B" in name else 1.0)
        weight.copy_(torch.randn(weight.shape, generator=generator) * size)


def _by_the_model(backbone: Backbone, role: str, groups: list) -> list[Tensor]:
    """Return log p of the whole vocabulary behind every token, (T, V) a sequence: ``model(...)``, one at a time."""
    told, device = [], backbone.model.device
    with backbone.speaking(role):
        for sequence in (each for group in groups for each in group):
            logits = backbone.model(input_ids=torch.tensor([sequence], device=device)).logits[0]
            told.append(logits.float().log_softmax(-1))
    return told


def _compared(measure: Callable[[str], float], roles: Sequence[str] = (BASE, ROLE)) -> Measured:
    gaps = {}
    for role in roles:
        name = "with adapter" if role == ROLE else "without adapter"
        try:
            gap = measure(role)
        except Exception as error:  # whatever a model of someone else's raises: another way is tried then
            why = (str(error).splitlines() or [""])[0]
            return Measured({}, f"{type(error).__name__}: {why}")
        gaps[name] = gap if gap == gap else float("inf")
    return Measured(gaps)


def _rows(backbone: Backbone, groups: list, wanted: dict[str, list[Tensor]]) -> Measured:
    """Measure rows side by side, as they are learnt from: what is said behind the last tokens of each sequence."""

    def measure(role: str) -> float:
        packed = pack(groups, pad=backbone.tokens.pad)
        index_NR = packed.length_N[:, None] - LAST + torch.arange(LAST)[None]
        with backbone.speaking(role):
            said = [backbone.head(hidden_RH) for hidden_RH in backbone.hidden_at(packed, index_NR)]
        return max(_gap(ours, theirs[-LAST:]) for ours, theirs in zip(said, wanted[role], strict=True))

    return _compared(measure)


def _growing(backbone: Backbone, groups: list, wanted: dict[str, list[Tensor]]) -> Measured:
    """Measure contexts that are read at once, and then go on token by token; one row is left out on the way."""
    sequences = [each for group in groups for each in group]
    rows = list(range(len(sequences)))
    length = [len(sequence) - 4 for sequence in sequences]
    length[1] = length[0]  # two contexts of one length, for sessions that put those side by side

    def measure(role: str) -> float:
        gaps, kept = {i: [] for i in rows}, rows
        with backbone.speaking(role):
            session = backbone.session([sequences[i][: length[i]] for i in rows], room=4)
            for step in range(4):
                said_BV = backbone.head(session.last_BH)
                for ours, i in zip(said_BV, kept, strict=True):
                    gaps[i].append(_gap(ours[None], wanted[role][i][length[i] + step - 1][None]))
                if step == 1:
                    chosen = [2, 0]
                    session.select(torch.tensor(chosen, device=said_BV.device))
                    kept = [kept[i] for i in chosen]
                following = [sequences[i][length[i] + step : length[i] + step + 1] or [0] for i in kept]
                session.step(torch.tensor(following, device=said_BV.device).squeeze(1))
        return max(sum(each) / len(each) for each in gaps.values())

    return _compared(measure, (ROLE,))


def _gap(ours_TV: Tensor, theirs_TV: Tensor) -> float:
    """Return the mean |difference| of two log-probabilities over the vocabulary and the tokens."""
    return (ours_TV.float().log_softmax(-1) - theirs_TV).abs().mean().item()
