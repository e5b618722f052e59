"""What an algorithm is handed and what it gives back.   B replies (or pairs of two), T tokens of the longest.

An online algorithm learns from its own replies, an offline one from pairs of replies that are there. The learner
computes in microbatches; an algorithm never notices. Online, it gives credit to a whole batch at once, and turns each
part of a step into a loss whose token weights belong to the whole step, so parts add up. Offline, the loss of a part is
divided by what the whole step has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from repo_exp.core.masks import Aggregation


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
    """

    total_B: Tensor
    group_B: Tensor
    mask_BT: Tensor
    longest: int
    sources: Mapping[str, Tensor] = field(default_factory=dict)
    value_BT: Tensor | None = None
    old_logp_BT: Tensor | None = None
    reference_logp_BT: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """What the learner is told about each token: (B, T) advantages, and the returns that the values aim at."""

    advantage_BT: Tensor
    return_BT: Tensor | None = None


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


class OnlineAlgorithm:
    """Learns from its own replies. A file of this folder has one, called ``Algorithm``.

    Attributes:
        passes: times that a batch of replies is learnt from.
        minibatches: optimiser steps in a pass.
        group_size: replies to each context.
        aggregation: what a token counts in the loss of a step.
        drop_silent: are replies without any credit left out of the count of a step's tokens?
        needs_value: is there a value network to ask and to teach?
        needs_reference: are the SFT policy's log-probabilities wanted?
    """

    passes: int = 1
    minibatches: int = 1
    group_size: int = 1
    aggregation: Aggregation = "token_mean"
    drop_silent: bool = False
    needs_value: bool = False
    needs_reference: bool = False

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
