"""The types that the layers exchange: prompts, trajectories, scores, and the corpus of a domain.

Plain text and numbers, no tensors, so that domains and rewards do without torch. A missing score is NaN with a reason,
never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "development", "test"]
StopReason = Literal["stop", "length"]
Status = Literal["terminated", "truncated"]
Unit = Literal["score", "points"]
SPLITS: tuple[Split, ...] = ("train", "development", "test")
NOT_FINITE = "not finite"  # why there is no score, where a source gave NaN or an infinity


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a chat template reads it. The agent is the assistant, its partner the user."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages that a response answers, and the facts that rules and judge may look up.

    ``facts`` is JSON: strings, numbers, lists and mappings. ``reference`` is a good response, where the data have one.
    The policy sees only ``messages``.
    """

    id: str
    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A response to imitate (supervised fine-tuning)."""

    prompt: Prompt
    response: str


@dataclass(frozen=True, slots=True)
class Preference:
    """Two responses to one prompt, of which one is preferred. ``fault`` names what is wrong with the other.

    ``margin`` is the score difference that a reward model should reach; 0 where the data have none.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    kind: str = ""
    fault: str = ""
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """A response with labels for rubric questions: item name -> the right answer."""

    prompt: Prompt
    response: str
    labels: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything that a domain provides, by split. The splits share no subject."""

    demonstrations: Mapping[Split, tuple[Demonstration, ...]]
    preferences: Mapping[Split, tuple[Preference, ...]]
    judgements: Mapping[Split, tuple[Judgement, ...]]
    prompts: Mapping[Split, tuple[Prompt, ...]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the agent, and its partner's answer.

    Attributes:
        message: the agent's text.
        finished: did it end by itself? False where the token budget cut it off.
        prompt_ids: the tokens that it was sampled from; empty if they were not kept.
        completion_ids: the tokens that were sampled, the end token included.
        logprobs: their log-probabilities as the engine saw them, in nats.
        partner_messages: the partner's answer; empty in the last turn.
        tokens: how many tokens the message took; by default the number of ``completion_ids``.
    """

    message: str
    finished: bool = True
    prompt_ids: tuple[int, ...] = ()
    completion_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    partner_messages: tuple[Message, ...] = ()
    tokens: int = 0

    def __post_init__(self) -> None:
        if self.completion_ids:
            object.__setattr__(self, "tokens", len(self.completion_ids))

    @property
    def stop_reason(self) -> StopReason:
        """Return "stop" where the turn ended by itself, "length" where the token budget cut it off."""
        return "stop" if self.finished else "length"


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An episode of a policy: one turn, or a whole dialogue.

    Attributes:
        prompt: where it starts.
        turns: at least one.
        status: "terminated" where the environment ended the episode, "truncated" where the limit of turns did.
        outcome: results that the environment reports; may be empty.
    """

    prompt: Prompt
    turns: tuple[Turn, ...]
    status: Status = "terminated"
    outcome: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.turns:
            raise ValueError("a trajectory has at least one turn")

    @classmethod
    def single(cls, prompt: Prompt, response: str, finished: bool = True, tokens: int = 0) -> Trajectory:
        """Return the trajectory of one turn."""
        return cls(prompt, (Turn(response, finished, tokens=tokens),))

    @property
    def response(self) -> str:
        """The text of the last turn."""
        return self.turns[-1].message

    @property
    def finished(self) -> bool:
        """Did every turn end by itself?"""
        return all(turn.finished for turn in self.turns)

    @property
    def tokens(self) -> int:
        """How many tokens the policy sampled in all turns."""
        return sum(turn.tokens for turn in self.turns)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole dialogue: the prompt's messages, the agent's and its partner's."""
        after = [m for turn in self.turns for m in (Message("assistant", turn.message), *turn.partner_messages)]
        return (*self.prompt.messages, *after)


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one trajectory by one source. A value that is infinite, or NaN without a reason, becomes "no score".

    Attributes:
        value: the score in the source's own unit; NaN when there is none.
        parts: its components: rule name -> points, rubric item -> points.
        reason: why there is no value; empty when there is one.
        words: the judge's own text, untrusted.
        applies: False where the source cannot score such a trajectory (no question applies, no fact to compare with):
            this is no failure, and a retry would not help.
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
class SourceInfo:
    """How metrics, tables and reports name a reward source.

    Attributes:
        name: its name in ``reward.sources``.
        kind: the kind of source.
        unit: "score" (its sign means better or worse than usual) or "points".
        label: its name in reports, such as "reward model".
        symbol: its name in formulas, such as "R_model".
        parts: the components of its scores: "violations" of rules, "items" of a rubric, or "" for neither.
        part_names: all components, so that one that never occurs is listed too.
    """

    name: str
    kind: str
    unit: Unit
    label: str
    symbol: str
    parts: Literal["", "violations", "items"] = ""
    part_names: tuple[str, ...] = ()

    def part(self, name: str) -> str:
        """Return what metrics and tables call a part: its name, with the source's in front where that is not usual."""
        return name if self.name == {"violations": "rules", "items": "judge"}.get(self.parts) else f"{self.name}/{name}"


@dataclass(frozen=True, slots=True)
class RewardBreakdown:
    """The reward of a trajectory, and what it consists of. An infinite total becomes NaN.

    Attributes:
        scores: source name -> its score; only the sources that were used.
        enhancement: E = clip(E_judge + E_func, -n, n); a missing part counts as 0.
        total: the reward that the algorithm is trained on; NaN if there is none.
        clipped: the points that the clip removed from the sum (0 inside the bound).
        missing_sources: sources that gave no score, so that the total does without them.
    """

    scores: Mapping[str, Score]
    enhancement: float
    total: float
    clipped: float = 0.0
    missing_sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if math.isinf(self.total):
            object.__setattr__(self, "total", math.nan)

    @property
    def failed(self) -> tuple[str, ...]:
        """The sources that should have given a score and gave none."""
        return tuple(sorted(name for name, score in self.scores.items() if score.failed))

    @property
    def failed_in_total(self) -> tuple[str, ...]:
        """Those of them that the total does without; where there are none, the total is what it should be."""
        return tuple(name for name in self.failed if name in self.missing_sources)
