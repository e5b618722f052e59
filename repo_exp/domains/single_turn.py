"""The environment of one response: the episode ends with the agent's first message."""

from __future__ import annotations

from repo_exp.domains.interface import Step
from repo_exp.types import Message, Prompt


class SingleTurn:
    """Shows the prompt's messages and ends with the first response."""

    def __init__(self, prompt: Prompt, *, seed: int = 0) -> None:
        self.prompt = prompt

    def reset(self) -> tuple[Message, ...]:
        """Return the prompt's messages."""
        return self.prompt.messages

    def step(self, message: str) -> Step:
        """End the episode."""
        return Step(done=True)
