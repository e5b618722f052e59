"""What travels between the layers: contexts, replies, what they are worth, and the corpus of a domain.

Text in, numbers out; no tensors here, so that domains and rewards need no torch. A score that is
not there is NaN with a reason, never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "development", "test"]
SPLITS: tuple[Split, ...] = ("train", "development", "test")
NOT_FINITE = "not finite"  # why there is no score, where a source gave NaN or an infinity


@dataclass(frozen=True, slots=True)
class Message:
    """One turn as a chat template reads it. The agent is the assistant, the hotel the user."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a reply answers: the messages so far, and the facts that rules and judge may look up.

    ``facts`` is JSON: strings, numbers, lists and mappings. ``reference`` is a good reply, where the data have one.
    The policy sees only ``messages``.
    """

    id: str
    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A reply worth imitating (supervised fine-tuning)."""

    context: Context
    reply: str


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to one context, the better one known. ``fault`` names what is wrong with the other.

    ``margin`` is how far apart a reward model is to score them, 0 where the data do not say.
    """

    context: Context
    chosen: str
    rejected: str
    kind: str = ""
    fault: str = ""
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """A reply with the known answer to each rubric question: item name -> does it apply?"""

    context: Context
    reply: str
    labels: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything a domain provides, by split. The splits share no subject (hotel, prompt)."""

    demonstrations: Mapping[Split, tuple[Demonstration, ...]]
    preferences: Mapping[Split, tuple[Preference, ...]]
    judgements: Mapping[Split, tuple[Judgement, ...]]
    contexts: Mapping[Split, tuple[Context, ...]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy answered. ``finished`` is False where the token budget cut it off."""

    context: Context
    text: str
    finished: bool = True
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """What one source says of one reply. A value that is infinite, or NaN without a reason, becomes "no score".

    Attributes:
        value: the score in the source's own unit; NaN when there is none.
        parts: what it is made of: rule name -> points, rubric item -> points.
        reason: why there is no value; empty when there is one.
        words: what the judge said, untrusted text.
        applies: False where the source has nothing to say of such a reply (no question applies, no fact to hold it
            against), so that nothing went wrong and asking again would not help.
    """

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    words: str = ""
    applies: bool = True

    def __post_init__(self) -> None:
        if math.isinf(self.value) or (math.isnan(self.value) and not self.reason):
            for name, value in (("value", math.nan), ("parts", {}), ("reason", self.reason or NOT_FINITE)):
                object.__setattr__(self, name, value)

    @property
    def missing(self) -> bool:
        """Is there no score?"""
        return math.isnan(self.value)

    @property
    def failed(self) -> bool:
        """Should there be a score, and is there none?"""
        return self.missing and self.applies

    @classmethod
    def none(cls, reason: str, words: str = "", *, applies: bool = True) -> Score:
        """Return "no score", with the reason why."""
        return cls(math.nan, {}, reason, words, applies)


@dataclass(frozen=True, slots=True)
class RewardBreakdown:
    """What a reply is worth, and why. An infinite total is none: NaN.

    Attributes:
        sources: "model", "judge", "rules" -> the score; only sources that were asked are in it.
        enhancement: E = clip(E_judge + E_func, -n, n); a missing part counts as 0.
        total: what the learner sees; NaN when no source gave a score.
        clipped: how many points the clip took off the sum (0 inside the bound).
        lacks: sources that the total does without, for want of a score.
    """

    sources: Mapping[str, Score]
    enhancement: float
    total: float
    clipped: float = 0.0
    lacks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if math.isinf(self.total):
            object.__setattr__(self, "total", math.nan)

    @property
    def failed(self) -> tuple[str, ...]:
        """The sources that should have given a score and gave none."""
        return tuple(sorted(name for name, score in self.sources.items() if score.failed))
