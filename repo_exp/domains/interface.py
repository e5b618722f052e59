"""What a domain is: options, a corpus, and environments that a policy can act in.

A domain is a module or folder of ``repo_exp/domains`` with these names (``registry`` finds it by its file name):

    Options                         a subclass of DomainOptions: the section ``data`` where its kind is ``generated``
    corpus(*, seed, options)        the demonstrations, pairs, labelled responses and prompts, all from the seed
    environment(prompt, *, seed)    optional: what answers the policy; a single turn where it is left out
    SPEAKERS                        optional: how reports call the roles, {"assistant": "Agent", "user": "Guest"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from repo_exp.types import Message, Prompt

Count = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class DomainOptions(BaseModel):
    """The section ``data`` of a domain that generates its corpus: closed to unknown keys, strict about types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)

    kind: Literal["generated"]

    def sizes(self) -> Mapping[str, int]:
        """Return key of the section -> how many items of the corpus it asks for, as far as that is known beforehand.

        Memory and time are estimated from it before anything is generated.
        """
        return {}


@dataclass(frozen=True, slots=True)
class Step:
    """What an environment answers to a message of the agent.

    Attributes:
        messages: what the partner says; may be empty.
        done: is the episode over?
        outcome: what came of it: name -> a number, a truth value or a text. Read where ``done``.
    """

    messages: tuple[Message, ...] = ()
    done: bool = True
    outcome: Mapping[str, Any] = field(default_factory=dict)


class Environment(Protocol):
    """What a policy acts in. The same prompt, seed and messages give the same steps."""

    def reset(self) -> tuple[Message, ...]:
        """Begin the episode: return the messages that the agent answers first."""
        ...

    def step(self, message: str) -> Step:
        """Take the agent's message and return what comes back."""
        ...


class EnvironmentFactory(Protocol):
    """Makes the environment that an episode of a prompt is played in."""

    def __call__(self, prompt: Prompt, *, seed: int) -> Environment:
        """Return an environment that has not begun."""
        ...
