"""The interface of an engine: it samples completions of tokenised prompts from the weights that were published last.

``torch_engine`` samples in this process. An engine in another process or on other machines implements the same four
methods; it needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completion:
    """The completion of one prompt.

    Attributes:
        tokens: the sampled tokens, the end token included if one came.
        logprobs: the log-probability of each token under the engine, in nats.
        finished: did it end by itself? False where the token budget cut it off.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        temperature: of the softmax, which is not truncated; 0 takes the likeliest token.
        max_new_tokens: a completion that has not ended by then is cut off.
    """

    temperature: float
    max_new_tokens: int


OnFinished = Callable[[int, Completion], None]


class Engine(Protocol):
    """Samples from a policy, and computes log-probabilities under it."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        seeds: Sequence[int],
        on_finished: OnFinished | None = None,
    ) -> list[Completion]:
        """Complete each prompt once.

        Args:
            prompts: prompt tokens.
            seeds: one per prompt. A completion depends on its prompt and its seed, not on the other prompts.
            on_finished: is called once for each completion, as soon as it has ended, with its place in ``prompts``.

        Raises:
            NotFiniteError: the logits are not finite, so that there is no distribution to draw from.
        """
        ...

    def score(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], *, temperature: float
    ) -> list[tuple[float, ...]]:
        """Return the log-probability of each token of each completion, in nats, at this temperature."""
        ...

    def publish(self, role: str, version: int) -> None:
        """Sample from this role's current weights from now on. ``version`` counts up with every change of them."""
        ...

    def close(self) -> None:
        """Release all resources. The engine cannot be used afterwards."""
        ...
