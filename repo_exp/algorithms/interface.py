"""What an online algorithm is handed and what it gives back.   B replies, T tokens of the longest.

The learner computes in microbatches; an algorithm never notices. It gives credit to a whole batch at once,
and turns each part of a step into a loss whose token weights belong to the whole step, so parts add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from repo_exp.core.masks import Aggregation
from repo_exp.errors import Problem


@dataclass(frozen=True, slots=True)
class Rollouts:
    """A batch of replies before anything is learnt from it.

    Attributes:
        total_B: R_total of each reply; every one is finite.
        group_B: which replies answer the same context: equal numbers.
        mask_BT: True at reply tokens.
        longest: tokens that a reply may have.
        sources: what each source said, (B,) by name; NaN where it said nothing.
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
    value_BT: Tensor | None = None
    old_logp_BT: Tensor | None = None
    reference_logp_BT: Tensor | None = None
    average_logp_BT: Tensor | None = None
    answer_BT: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """What the learner is told about each token.

    Attributes:
        advantage_BT: the credit.
        return_BT: what the values aim at; None without a value network.
        kept_B: which replies are learnt from at all; None is every one.
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
        return_BT, old_value_BT, reference_logp_BT: None where the algorithm has no use for them.
    """

    mask_BT: Tensor
    weight_BT: Tensor
    share_BT: Tensor
    advantage_BT: Tensor
    old_logp_BT: Tensor
    return_BT: Tensor | None = None
    old_value_BT: Tensor | None = None
    reference_logp_BT: Tensor | None = None


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
        drop_silent: are replies without any credit left out of the count of a step's tokens?
        needs_value: is there a value network to ask and to teach?
        needs_reference: are the SFT policy's log-probabilities wanted?
        averaging: how the policy's moving average moves, whose log-probabilities are wanted; None without one.
        answer_after: the words behind which a reply's answer begins; None if all of it is the answer.
    """

    passes: int = 1
    minibatches: int = 1
    group_size: int = 1
    aggregation: Aggregation = "token_mean"
    whole_groups: bool = False
    drop_silent: bool = False
    needs_value: bool = False
    needs_reference: bool = False
    averaging: Averaging | None = None
    answer_after: str | None = None

    def __init__(self, options: Any) -> None:
        self.options = options

    def credit(self, seen: Rollouts) -> Credit:
        """Return advantages, and returns if there is a value network."""
        raise NotImplementedError

    def policy_loss(self, logp_BT: Tensor, part: Part) -> tuple[Tensor, dict[str, float]]:
        """Return the policy's loss of this part, and metrics that add up over parts."""
        raise NotImplementedError

    def value_loss(self, value_BT: Tensor, part: Part) -> Tensor:
        """Return the value network's loss of this part."""
        raise NotImplementedError


def whole_groups_divide(options: Any, config: Any) -> Iterator[Problem]:
    """A check for methods with ``whole_groups``: minibatches are cut between groups, into equal parts."""
    rollouts, pieces = config.budget.rollouts, options.minibatches
    groups, left_over = divmod(rollouts, options.group_size)
    if left_over == 0 and rollouts % pieces == 0 and groups % pieces:
        divisors = ", ".join(str(d) for d in range(1, min(groups, 64) + 1) if groups % d == 0)
        yield Problem(
            "algorithm.minibatches",
            f"the {groups} groups of a round cannot be cut into {pieces} equal parts",
            f"one of {divisors}; or another budget.rollouts",
        )
