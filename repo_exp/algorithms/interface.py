"""The interface of an algorithm: its signals, the credit of a batch, and the losses of minibatches.

An online algorithm is trained on responses that the policy samples, an offline one on preference pairs. The training
loop (``training/``) does the rest: it samples, asks for rewards, computes the declared signals, splits the batch so
that it fits into memory, and steps the optimizer. An algorithm does not depend on how a batch is split: the token
weights of a minibatch belong to its whole optimizer step, so that losses and metrics of its parts add up.

Legend: B responses (or pairs of two), T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

from repo_exp.algorithms.batches import (
    ComparedTokens,
    Credit,
    Metrics,
    Minibatch,
    PairMinibatch,
    RolloutBatch,
    ValueMinibatch,
)
from repo_exp.algorithms.options.base import MethodOptions, StepOptions
from repo_exp.algorithms.signals import (
    AnswerMask,
    Comparison,
    Follower,
    OldLogprobs,
    ReferenceLogprobs,
    RoleLogprobs,
    Signal,
    Values,
    find,
)
from repo_exp.core.choices import Aggregation

__all__ = [
    "AnswerMask",
    "ComparedTokens",
    "Comparison",
    "Credit",
    "Follower",
    "Metrics",
    "Minibatch",
    "OfflineAlgorithm",
    "OldLogprobs",
    "OnlineAlgorithm",
    "PairMinibatch",
    "ReferenceLogprobs",
    "RoleLogprobs",
    "RolloutBatch",
    "Signal",
    "ValueMinibatch",
    "Values",
    "find",
]

StepOptionsT = TypeVar("StepOptionsT", bound=StepOptions, covariant=True)
OptionsT = TypeVar("OptionsT", bound=MethodOptions, covariant=True)


class OnlineAlgorithm(Generic[StepOptionsT]):
    """Trained on responses that the policy samples. A file of this folder has one, called ``Algorithm``.

    Attributes:
        signals: tensors that the loop computes before ``credit``; batches and minibatches hold them by type.
        followers: roles whose weights follow the policy's.
        group_size: responses to each prompt.
        unit: never split by a minibatch or microbatch: a ``response``, or the ``group`` of responses to a prompt. Those
            of a group stand side by side in a minibatch, in their order.
        aggregation: the weight of a token in the loss, see :func:`core.masks.aggregation_weights`.
    """

    signals: tuple[Signal, ...] = ()
    followers: tuple[Follower, ...] = ()
    group_size: int = 1
    unit: Literal["response", "group"] = "response"
    aggregation: Aggregation = "token_mean"

    def __init__(self, options: StepOptionsT) -> None:
        self.options = options

    def credit(self, batch: RolloutBatch) -> Credit:
        """Return the advantages of a whole batch, and the returns if a value network is trained."""
        raise NotImplementedError

    def policy_loss(self, logp_BT: Tensor, minibatch: Minibatch) -> tuple[Tensor, Metrics]:
        """Return the policy's loss of a minibatch, and metrics; both add up over the minibatches of a step."""
        raise NotImplementedError

    def value_loss(self, value_BT: Tensor, minibatch: ValueMinibatch) -> Tensor:
        """Return the value network's loss of a minibatch; it adds up over those of a step."""
        raise NotImplementedError

    def token_weights(self, tokens: ComparedTokens) -> tuple[Tensor, Metrics]:
        """Return what each token's weight in the policy's loss is multiplied by, (B, T), and metrics of the step.

        Called before each optimizer step of an algorithm that declares a :class:`Comparison`.
        """
        return torch.ones_like(tokens.logp_BT), {}

    def state(self) -> dict[str, float]:
        """Return the state that one update passes to the next, for the checkpoint."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Restore what :meth:`state` returned."""

    @property
    def sampling_role(self) -> str:
        """The role that samples the responses."""
        return next((follower.role for follower in self.followers if follower.samples), "policy")

    @property
    def trained_roles(self) -> tuple[str, ...]:
        """The roles that the optimizer steps."""
        values = find(self.signals, Values)
        return ("policy", "value") if values is not None and values.train else ("policy",)


class OfflineAlgorithm(Generic[OptionsT]):
    """Trained on preference pairs. A file of this folder has one, called ``Algorithm``.

    Attributes:
        signals: computed for every pair before the first step: nothing, or :class:`ReferenceLogprobs`.
    """

    signals: tuple[Signal, ...] = ()
    trained_roles: tuple[str, ...] = ("policy",)

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def loss(self, logp_B2T: Tensor, minibatch: PairMinibatch) -> tuple[Tensor, Metrics]:
        """Return the policy's loss of a minibatch, and metrics; both add up over the minibatches of a step."""
        raise NotImplementedError
