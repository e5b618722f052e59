"""The declarations of an algorithm: the signals that it reads, and the roles that follow the policy.

A signal is a tensor over response tokens, (B, T), that the training loop computes for the algorithm. A declared
signal is looked up by its type: ``batch[ReferenceLogprobs]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Signal:
    """Computed for every response before ``credit``: (B, T), 0 outside the mask."""


@dataclass(frozen=True, slots=True)
class OldLogprobs(Signal):
    """The policy's log-probabilities before the update, in nats. Only needed by ``credit``; losses have them."""


@dataclass(frozen=True, slots=True)
class ReferenceLogprobs(Signal):
    """The log-probabilities of the SFT policy, which is frozen."""


@dataclass(frozen=True, slots=True)
class RoleLogprobs(Signal):
    """The log-probabilities of another role, such as a follower."""

    role: str


@dataclass(frozen=True, slots=True)
class Values(Signal):
    """The predictions of a value network, in reward units.

    Attributes:
        train: is it trained with the policy? If not, it is a frozen value model that was trained before.
        of: the ``state`` before a token (V), or the ``action``, the token in that state (Q).
        separable: do the returns of a response depend on that response alone? Then an update of a single step reads
            each response once, to predict its values and to train them.
    """

    train: bool = True
    of: Literal["state", "action"] = "state"
    separable: bool = True


@dataclass(frozen=True, slots=True)
class AnswerMask(Signal):
    """True at the tokens of a response's answer: after the last ``delimiter``, or all of them where that is None."""

    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison(Signal):
    """The policy against another role, over the whole vocabulary.

    It depends on the current policy: it is computed before every optimizer step, and read by ``token_weights`` instead
    of ``credit``.

    Attributes:
        role: the role that the policy is compared with.
        compare: computes (M,), one number per token, from the log-probabilities of policy and role, (M, V) each.
    """

    role: str
    compare: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Follower:
    """A role whose weights start as the policy's and track them.

    Attributes:
        role: its name.
        every: updates between two steps.
        keep: the share of its own weights that a step keeps; 0 is a copy, 0.99 an exponential moving average.
        samples: does it sample the responses, instead of the policy?
    """

    role: str
    every: int
    keep: float = 0.0
    samples: bool = False


SignalT = TypeVar("SignalT", bound=Signal)


def find(signals: Iterable[Signal], kind: type[SignalT]) -> SignalT | None:
    """Return the first signal of a type, or None."""
    return next((signal for signal in signals if isinstance(signal, kind)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithSignals:
    """Signals by type: ``batch[Values]`` is a tensor, ``Values in batch`` says whether it is there."""

    signals: Mapping[Signal, Tensor] = field(default_factory=dict)

    def __contains__(self, kind: type[Signal]) -> bool:
        return find(self.signals, kind) is not None

    def get(self, kind: type[Signal]) -> Tensor | None:
        """Return the signal of a type, or None."""
        signal = find(self.signals, kind)
        return None if signal is None else self.signals[signal]

    def __getitem__(self, kind: type[Signal]) -> Tensor:
        found = self.get(kind)
        if found is None:
            raise KeyError(f"{kind.__name__} is not among the algorithm's signals")
        return found
