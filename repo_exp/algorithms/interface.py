"""What an algorithm is handed and what it gives back.   B replies (or pairs of two), T tokens of the longest.

An online algorithm learns from its own replies, an offline one from pairs of replies that are there. The learner
computes in microbatches; an algorithm never notices. Online, it gives credit to a whole batch at once, and turns each
part of a step into a loss whose token weights belong to the whole step, so parts add up. Offline, the loss of a part is
divided by what the whole step has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from torch import Tensor

from repo_exp.algorithms.options.base import OnlineOptions, StepOptions
from repo_exp.core.choices import Aggregation


@dataclass(frozen=True, slots=True)
class Rollouts:
    """A batch of replies before anything is learnt from it.

    Attributes:
        total_B: R_total of each reply; every one is finite.
        group_B: which replies answer the same context: equal numbers.
        mask_BT: True at reply tokens.
        longest: tokens that a reply may have.
        sources: what each source said, (B,) by name; NaN where it said nothing.
        finished_B: did the reply end by itself?
        value_BT: what the value network said; None where the algorithm has none.
        old_logp_BT: log-probabilities at sampling time; None where nobody needs them beforehand.
        reference_logp_BT: the SFT policy's log-probabilities; None without a reference.
        average_logp_BT: the log-probabilities of the policy's moving average; None without one.
        answer_BT: True at the tokens behind ``answer_after``; None where nobody asks.
    """

    total_B: Tensor
    group_B: Tensor
    mask_BT: Tensor
    longest: int
    sources: Mapping[str, Tensor] = field(default_factory=dict)
    finished_B: Tensor | None = None
    value_BT: Tensor | None = None
    old_logp_BT: Tensor | None = None
    reference_logp_BT: Tensor | None = None
    average_logp_BT: Tensor | None = None
    answer_BT: Tensor | None = None

    def of(self, chosen: Sequence[int]) -> Rollouts:
        """Return some of the replies."""

        def cut(told: Any) -> Any:
            if isinstance(told, Mapping):
                return {name: cut(each) for name, each in told.items()}
            return told[list(chosen)] if isinstance(told, Tensor) else told

        return Rollouts(**{each.name: cut(getattr(self, each.name)) for each in fields(self)})


@dataclass(frozen=True, slots=True)
class Credit:
    """What the learner is told about a batch.

    Attributes:
        advantage_BT: how much better each token did than expected.
        return_BT: what the values aim at; None without a value network.
        kept_B: the replies that are learnt from and count in a step's loss; None is every one.
        metrics: figures of the credit, for the dashboard.
    """

    advantage_BT: Tensor
    return_BT: Tensor | None = None
    kept_B: Tensor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """Some replies of an optimiser step, with what was known of them before it.

    Attributes:
        mask_BT: True at reply tokens.
        weight_BT: what each token counts in the step's loss; 0 outside the mask.
        share_BT: one over the tokens of the step, 0 outside the mask: what each token counts in a metric.
        advantage_BT, old_logp_BT: credit, and log-probabilities at sampling time.
        reference_logp_BT: None where the algorithm has no use for them.
    """

    mask_BT: Tensor
    weight_BT: Tensor
    share_BT: Tensor
    advantage_BT: Tensor
    old_logp_BT: Tensor
    reference_logp_BT: Tensor | None = None


@dataclass(frozen=True, slots=True)
class ValuePart:
    """The same for the value network.

    Attributes:
        mask_BT, weight_BT: as in :class:`Part`.
        return_BT: what the values aim at.
        old_value_BT: what the value network said before the step.
    """

    mask_BT: Tensor
    weight_BT: Tensor
    return_BT: Tensor
    old_value_BT: Tensor


@dataclass(frozen=True, slots=True)
class Comparison:
    """What policy and sampling role say of the replies of an optimiser step, just before it: (B, T).

    Attributes:
        mask_BT: True at reply tokens.
        logp_BT: the policy's log-probabilities now.
        sampler_logp_BT: the sampling role's.
        said_BT: what ``compare`` made of both distributions at each token.
        old_logp_BT: the policy's log-probabilities before the first step of the update.
        uniform_BT: a number in [0, 1) a token, the same in every pass of the update.
    """

    mask_BT: Tensor
    logp_BT: Tensor
    sampler_logp_BT: Tensor
    said_BT: Tensor
    old_logp_BT: Tensor
    uniform_BT: Tensor


@dataclass(frozen=True, slots=True)
class Averaging:
    """A slow-moving average of the policy's weights, the role ``average``: every so many updates it follows a bit.

    Attributes:
        keep: what the average keeps of itself; the rest it takes from the policy.
        every: updates between two such steps.
    """

    keep: float
    every: int


class OnlineAlgorithm:
    """Learns from its own replies. A file of this folder has one, called ``Algorithm``.

    Attributes:
        passes: times that a batch of replies is learnt from.
        minibatches: optimiser steps in a pass.
        group_size: replies to each context.
        aggregation: what a token counts in the loss of a step.
        whole_groups: do replies to one context stay together? Minibatches are then cut between groups, and in a part
            the kept replies to one context stand side by side, in their order, none of them missing.
        needs_value: is there a value network to ask?
        teaches_value: does it learn with the policy? If not it is a value model, learnt before and frozen.
        value_of: what a value is of: the state before a token, or the token in it.
        needs_reference: are the SFT policy's log-probabilities wanted?
        returns_alone: do the returns of a reply hang on that reply alone? Then a single step asks for values once.
        averaging: how the policy's moving average moves, whose log-probabilities are wanted; None without one.
        answer_after: the words behind which a reply's answer begins; None if all of it is the answer.
        samples_from: the role that answers; another one than ``policy`` is a copy of it that stays behind.
        refresh_every: updates after which that copy is taken anew.
        compares: are policy and sampling role held against one another before each step?
    """

    passes: int = 1
    minibatches: int = 1
    group_size: int = 1
    aggregation: Aggregation = "token_mean"
    whole_groups: bool = False
    needs_value: bool = False
    teaches_value: bool = True
    value_of: Literal["state", "action"] = "state"
    needs_reference: bool = False
    returns_alone: bool = True
    averaging: Averaging | None = None
    answer_after: str | None = None
    samples_from: str = "policy"
    refresh_every: int = 1
    compares: bool = False

    def __init__(self, options: StepOptions) -> None:
        self.options: Any = options
        self.passes, self.minibatches = options.passes, options.minibatches
        if isinstance(options, OnlineOptions):
            self.aggregation, self.needs_reference = options.aggregation, options.kl_coefficient > 0

    def credit(self, seen: Rollouts) -> Credit:
        """Return advantages, and returns if there is a value network."""
        raise NotImplementedError

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the policy's loss of this part, and metrics that add up over parts."""
        raise NotImplementedError

    def value_loss(self, value_BT: Tensor, part: ValuePart) -> Tensor:
        """Return the value network's loss of this part."""
        raise NotImplementedError

    def compare(self, logp_MV: Tensor, sampler_logp_MV: Tensor) -> Tensor:
        """Return a number for each of M tokens from what policy and sampling role say of the vocabulary: (M,)."""
        raise NotImplementedError

    def factor(self, told: Comparison) -> tuple[Tensor, dict[str, float]]:
        """Return what each token's weight in the policy's loss is multiplied with, (B, T), and metrics of the step."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep: what one update leaves to the next."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Some pairs of an optimiser step; the better reply of each comes first.

    Attributes:
        mask_B2T: True at reply tokens.
        pairs: how many the whole step has: a pair's loss is divided by it, so that parts add up.
        better_tokens: how many the better replies of the whole step have.
        reference_logp_B2T: the SFT policy's log-probabilities; None without a reference.
    """

    mask_B2T: Tensor
    pairs: int
    better_tokens: int
    reference_logp_B2T: Tensor | None = None


class OfflineAlgorithm:
    """Learns from pairs of replies, the better one known. A file of this folder has one, called ``Algorithm``.

    Attributes:
        needs_reference: are the SFT policy's log-probabilities wanted?
    """

    needs_reference: bool = False

    def __init__(self, options: Any) -> None:
        self.options = options

    def loss(self, logp_B2T: Tensor, part: Pairs) -> tuple[Tensor, dict[str, float]]:
        """Return the policy's loss of this part, and metrics that add up over parts."""
        raise NotImplementedError
