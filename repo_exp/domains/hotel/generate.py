"""The corpus of the hotel domain: demonstrations, preference pairs, judge examples and contexts, all from a seed."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from repo_exp.domains.hotel.expert import response
from repo_exp.domains.hotel.faults import FAULTS, NEEDS, commit
from repo_exp.domains.hotel.options import KIND_SIZES, HotelOptions, kind_sizes
from repo_exp.domains.hotel.play import stops
from repo_exp.domains.hotel.situation import Said, Situation
from repo_exp.domains.hotel.sop import Move
from repo_exp.types import SPLITS, Corpus, Demonstration, Judgement, Preference, Prompt, Split

KIND_FAULTS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        # what went wrong in production
        "online": {
            "ignored_ticket": 2,
            "silence_as_consent": 2,
            "leaked_target": 2,
            "over_promise": 2,
            "repeated_script": 2,
            "wrong_number": 2,
            "cold_reply": 1,
            "invented_fact": 2,
            "leaked_reasoning": 1,
            "net_selling_swap": 1,
            "empty_courtesy": 3,
        },
        # what people who care for language object to
        "linguistic": {
            "rude": 4,
            "too_long": 3,
            "wrong_language": 3,
            "repeated_script": 3,
            "cold_reply": 3,
            "over_promise": 3,
            "leaked_reasoning": 2,
            "invented_fact": 1,
            "no_reason": 1,
            "empty_courtesy": 3,
        },
        # what people who know the trade object to
        "task": {
            "wrong_number": 5,
            "net_selling_swap": 4,
            "no_reason": 3,
            "invented_fact": 3,
            "over_promise": 2,
            "wrong_step": 1,
            "empty_courtesy": 3,
        },
        # steps that the procedure forbids
        "sop": {
            "missed_acceptance": 4,
            "silence_as_consent": 4,
            "ignored_ticket": 3,
            "leaked_target": 4,
            "wrong_step": 3,
            "repeated_script": 2,
            "leaked_reasoning": 1,
        },
    }
)

# What judge examples are drawn from: (weight, fault or "" for a good response, what the situation must be like).
_ANY: Callable[[Situation], bool] = lambda s: True  # noqa: E731 - a table of conditions reads best in one line each
_JUDGED: tuple[tuple[int, str, Callable[[Situation], bool]], ...] = (
    (3, "over_promise", _ANY),
    (3, "rude", _ANY),
    (3, "silence_as_consent", _ANY),
    (3, "missed_acceptance", _ANY),
    (3, "repeated_script", _ANY),
    (2, "cold_reply", _ANY),
    (3, "no_reason", _ANY),
    (1, "wrong_step", _ANY),
    (1, "ignored_ticket", _ANY),
    (4, "empty_courtesy", _ANY),
    (1, "invented_fact", _ANY),
    (3, "", lambda s: s.complains),
    (1, "", lambda s: s.acceptable),
    (1, "", lambda s: s.move in {Move.SILENT, Move.VAGUE}),
    (1, "", lambda s: bool(s.own)),
    (3, "", _ANY),
)
_BACKLOG = 400  # situations kept for a later wish


class _Situations:
    """A stream of situations to pick from: whoever needs a certain kind gets the next one of that kind."""

    def __init__(self, source: Iterator[Situation]) -> None:
        self._source = source
        self._waiting: deque[Situation] = deque()

    def next(self, fits: Callable[[Situation], bool]) -> Situation:
        """Return the oldest waiting situation that fits, or else the next one of the stream that does."""
        for index, situation in enumerate(self._waiting):
            if fits(situation):
                del self._waiting[index]
                return situation
        while not fits(situation := next(self._source)):
            if len(self._waiting) < _BACKLOG:
                self._waiting.append(situation)
        return situation


def _faulty(name: str, situations: _Situations, rng: random.Random) -> tuple[Situation, Said, Said]:
    """Return a situation that a fault can be made in, a good reply to it, and the faulty one, of like length."""
    while True:
        situation = situations.next(NEEDS.get(name, _ANY))
        good = response(situation, rng)
        # Half of the pairs share all that the fault leaves alone; all are near in length, so that length tells nothing.
        same = rng.random() < 0.5
        drafts: list[Said] = []
        for _ in range(4):
            draft = commit(name, situation, good if same else response(situation, rng), rng)
            if draft is None:
                break
            drafts.append(draft)
        if drafts:
            return situation, good, min(drafts, key=lambda d: abs(len(d.text) - len(good.text)))


def _demonstrations(
    situations: _Situations, rng: random.Random, count: int, faulty: float, split: Split
) -> Iterator[Demonstration]:
    for number in range(count):
        name = f"hotel-{split}-demonstration-{number}"
        if rng.random() < faulty:
            situation, _, said = _faulty(rng.choice(list(FAULTS)), situations, rng)
        else:
            situation = situations.next(_ANY)
            said = response(situation, rng)
        yield Demonstration(situation.prompt(name), said.text)


def _shown(situation: Situation, name: str, rng: random.Random) -> Prompt:
    """Return the context with a further reply of the expert's as its reference."""
    return replace(situation.prompt(name), reference=response(situation, rng).text)


def _preferences(
    situations: _Situations, rng: random.Random, sizes: Mapping[str, int], split: Split, references: random.Random
) -> Iterator[Preference]:
    for kind, count in sizes.items():
        mixture = KIND_FAULTS[kind]
        for number in range(count):
            fault = rng.choices(list(mixture), weights=list(mixture.values()))[0]
            situation, good, bad = _faulty(fault, situations, rng)
            prompt = _shown(situation, f"hotel-{split}-{kind}-{number}", references)
            yield Preference(prompt, good.text, bad.text, kind, fault)


def _judgements(situations: _Situations, rng: random.Random, count: int, split: Split) -> Iterator[Judgement]:
    """Yield labelled replies. A faulty one comes with the good one that it was made of: same context, other answers."""
    weights = [weight for weight, _, _ in _JUDGED]
    made = 0
    while made < count:
        _, fault, fits = rng.choices(_JUDGED, weights=weights)[0]
        if fault:
            situation, good, bad = _faulty(fault, situations, rng)
            responses = [bad, good][: count - made]
        else:
            situation = situations.next(fits)
            responses = [response(situation, rng)]
        prompt = situation.prompt(f"hotel-{split}-judgement-{made}")
        for said in responses:
            yield Judgement(prompt, said.text, dict(said.labels))
        made += len(responses)


def _prompts(situations: _Situations, count: int, split: Split, references: random.Random) -> Iterator[Prompt]:
    for number in range(count):
        yield _shown(situations.next(_ANY), f"hotel-{split}-context-{number}", references)


def corpus(*, seed: int, options: HotelOptions) -> Corpus:
    """Make the whole corpus. The splits share no hotel, whatever the seed.

    Faulty training demonstrations are what the reward has to correct; held-out demonstrations are flawless.
    """

    def source(purpose: str, split: Split) -> tuple[_Situations, random.Random]:
        # Each purpose has its own stream, so that the size of one leaves the others as they are.
        name = f"{seed} {purpose}"
        talks = stops(name, split, careless=options.careless, two_tickets=options.two_tickets)
        return _Situations(talks), random.Random(f"{name} {split}")

    def references(purpose: str, split: Split) -> random.Random:
        return random.Random(f"{seed} references of {purpose} {split}")

    def demonstrations(split: Split) -> Iterator[Demonstration]:
        train = split == "train"
        count = options.demonstrations if train else options.held_out
        faulty = options.faulty_demonstrations if train else 0.0
        return _demonstrations(*source("demonstrations", split), count, faulty, split)

    def preferences(split: Split) -> Iterator[Preference]:
        count = sum(KIND_SIZES.values()) * options.scale if split == "train" else options.held_out
        return _preferences(*source("preferences", split), kind_sizes(count), split, references("pairs", split))

    def judgements(split: Split) -> Iterator[Judgement]:
        count = options.judgements if split == "train" else options.held_out
        return _judgements(*source("judgements", split), count, split)

    def prompts(split: Split) -> Iterator[Prompt]:
        count = getattr(options.prompts, split)
        return _prompts(source("contexts", split)[0], count, split, references("contexts", split))

    return Corpus(
        demonstrations={split: tuple(demonstrations(split)) for split in SPLITS},
        preferences={split: tuple(preferences(split)) for split in SPLITS},
        judgements={split: tuple(judgements(split)) for split in SPLITS},
        prompts={split: tuple(prompts(split)) for split in SPLITS},
    )
