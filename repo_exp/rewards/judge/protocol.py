"""What a judge is: replies in, one score each, and no exception when a reply cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from repo_exp.types import Reply, Score


@runtime_checkable
class Judge(Protocol):
    """Scores replies. A reply that it could not judge gets ``Score.none`` with a short reason."""

    remote: bool  # does it wait for somebody else's machine, so that other work can go on meanwhile?

    def begin(self, reply: Reply) -> None:
        """Hear of a reply that ``judge`` will be asked about later. What it says then must not hang on this."""
        ...

    def judge(self, replies: Sequence[Reply]) -> list[Score]:
        """Return one score for each reply, in the same order."""
        ...
