"""One episode: an environment, its messages so far, and the trajectory that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.types import Message, Prompt, Status, Trajectory, Turn


class Episode:
    """An episode that is being played.

    Attributes:
        messages: what the agent answers next.
        done: is the episode over?
    """

    def __init__(self, prompt: Prompt, environment: EnvironmentFactory, *, seed: int) -> None:
        self._prompt, self._environment = prompt, environment(prompt, seed=seed)
        self._turns: list[Turn] = []
        self._outcome: Mapping[str, Any] = {}
        self.messages = self._environment.reset()
        self.done = False

    def take(self, turn: Turn) -> None:
        """Pass the agent's turn on to the environment."""
        step = self._environment.step(turn.message)
        self._turns.append(replace(turn, partner_messages=step.messages))
        self.messages = (*self.messages, Message("assistant", turn.message), *step.messages)
        self.done, self._outcome = step.done, step.outcome

    def trajectory(self) -> Trajectory:
        """Return what has happened so far; at least one turn has."""
        status: Status = "terminated" if self.done else "truncated"
        return Trajectory(self._prompt, tuple(self._turns), status, self._outcome)
