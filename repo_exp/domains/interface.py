"""The interface of a domain: options, a corpus, and environments. Its folder's ``__init__.py`` defines

    Options                     a subclass of DomainOptions: the section ``data`` of this domain
    corpus(*, seed, options)    -> Corpus
    environment                 optional, an EnvironmentFactory; without it an episode is one response
    SPEAKERS                    optional: what reports call the roles, {"assistant": "Agent", "user": "Guest"}

An environment is reset, takes the agent's messages one by one, and ends the episode. Training and evaluation play
``single_turn`` only; ``rollout/collector.py`` and ``evaluation/protocols/dialogue.py`` play any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from repo_exp.types import Message, Prompt, Split

Count = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Part = Literal["demonstrations", "preferences", "judgements", "prompts"]


@dataclass(frozen=True, slots=True)
class Amount:
    """How many items of one part of the corpus a key of ``data`` asks for."""

    key: str
    part: Part
    split: Split
    count: int


class DataOptions(BaseModel):
    """The section ``data``: closed to unknown keys, strict about types. Values are in ``conf/``: no defaults here."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)

    def amounts(self) -> tuple[Amount, ...]:
        """Return how many items the options ask for, as far as that is known before the corpus is generated.

        Memory, time and the least number of test prompts are checked with it before anything runs.
        """
        return ()


class DomainOptions(DataOptions):
    """The section ``data`` of a domain that generates its corpus from the seed."""

    kind: Literal["generated"]


@dataclass(frozen=True, slots=True)
class Step:
    """An environment's answer to a message of the agent.

    Attributes:
        messages: of the partner; may be empty.
        done: is the episode over?
        outcome: results of the episode: name -> a number, a truth value or a text. Read where ``done``.
    """

    messages: tuple[Message, ...] = ()
    done: bool = True
    outcome: Mapping[str, Any] = field(default_factory=dict)


class Environment(Protocol):
    """The partner that a policy interacts with. The same prompt, seed and messages give the same steps.

    No configuration chooses an environment of several turns yet (docs/extending.md, "An environment").
    """

    def reset(self) -> tuple[Message, ...]:
        """Begin the episode: return the messages that the agent answers first."""
        ...

    def step(self, message: str) -> Step:
        """Take the agent's message and return the partner's answer."""
        ...


class EnvironmentFactory(Protocol):
    """Makes the environment that an episode of a prompt is played in."""

    def __call__(self, prompt: Prompt, *, seed: int) -> Environment:
        """Return a new environment."""
        ...
