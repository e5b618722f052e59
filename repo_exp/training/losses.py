"""Losses of the supervised stages: SFT, reward model, value model and judge, over prepared token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from repo_exp.core.advantage import reward_at_last_token
from repo_exp.core.choices import ValueTargets
from repo_exp.core.diagnostics import negative_log_likelihood
from repo_exp.core.frozen_value import value_targets
from repo_exp.core.masks import masked_sum
from repo_exp.core.preference import bradley_terry_loss
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import final_scores, lay_out, response_logp, response_values, yes_logits
from repo_exp.models.packing import pack

Tokens = Sequence[int]


class Item(Protocol):
    """An example; ``shown`` are the tokens by which a message names it."""

    @property
    def shown(self) -> Tokens: ...


ItemT = TypeVar("ItemT", contravariant=True)


class SupervisedLoss(Protocol[ItemT]):
    """A loss over items.

    Attributes:
        role: the role that is trained.
    """

    role: str

    def weight(self, item: ItemT) -> float:
        """Return the weight of an item; a step divides by the weight of its whole batch."""
        ...

    def sequences(self, item: ItemT) -> Sequence[Tokens]:
        """Return the token sequences of an item, which share a row."""
        ...

    def loss(self, backbone: Backbone, items: Sequence[ItemT], *, count: float) -> Tensor:
        """Return the loss of some items of a batch of weight ``count``; it adds up over those of the batch."""
        ...


@dataclass(frozen=True, slots=True)
class ResponseItem:
    """A prompt and the response to imitate."""

    prompt: Tokens
    response: Tokens

    @property
    def shown(self) -> Tokens:
        """The response."""
        return self.response


@dataclass(frozen=True, slots=True)
class PairItem:
    """A prompt, the better and the worse response, or two that tie (``label`` 0.5); see ``core/preference.py``."""

    prompt: Tokens
    chosen: Tokens
    rejected: Tokens
    margin: float = 0.0
    label: float = 1.0
    weight: float = 1.0

    @property
    def sequences(self) -> list[list[int]]:
        """The prompt with either response: they share a row."""
        return [[*self.prompt, *self.chosen], [*self.prompt, *self.rejected]]

    @property
    def shown(self) -> Tokens:
        """The better response."""
        return self.chosen


@dataclass(frozen=True, slots=True)
class RewardedItem:
    """A prompt, a response to it, and the reward of the whole response."""

    prompt: Tokens
    response: Tokens
    reward: float

    @property
    def shown(self) -> Tokens:
        """The response."""
        return self.response


@dataclass(frozen=True, slots=True)
class QuestionsItem:
    """The prompts of a rubric's questions about one response, and the correct answers."""

    prompts: Sequence[Tokens]
    answers: Sequence[bool]

    @property
    def shown(self) -> Tokens:
        """The first question."""
        return self.prompts[0]


class SFTLoss:
    """SFT: minus the mean log-probability of the response tokens, in nats a token."""

    role = "policy"

    def weight(self, item: ResponseItem) -> float:
        """Return the tokens of the response."""
        return len(item.response)

    def sequences(self, item: ResponseItem) -> Sequence[Tokens]:
        """Return the prompt with its response."""
        return [[*item.prompt, *item.response]]

    def loss(self, backbone: Backbone, items: Sequence[ResponseItem], *, count: float) -> Tensor:
        """Return the negative log-likelihood."""
        batch = lay_out([item.prompt for item in items], [item.response for item in items], pad=backbone.tokens.pad)
        logp_NR, _ = response_logp(backbone, batch)
        return negative_log_likelihood(logp_NR, batch.mask_NR.to(logp_NR.device), count=count)


class RewardModelLoss:
    """Reward model: Bradley-Terry over pairs; the two responses of a pair share the computation of their prompt."""

    role = "reward"

    def __init__(self, *, centring: float) -> None:
        self.centring = centring

    def weight(self, item: PairItem) -> float:
        """Return the pair's own weight."""
        return item.weight

    def sequences(self, item: PairItem) -> Sequence[Tokens]:
        """Return the prompt with either response."""
        return item.sequences

    def scores(self, backbone: Backbone, items: Sequence[PairItem]) -> tuple[Tensor, Tensor]:
        """Return the raw scores of the chosen and of the rejected responses."""
        packed = pack([item.sequences for item in items], pad=backbone.tokens.pad)
        chosen_N, rejected_N = final_scores(backbone, packed).view(-1, 2).unbind(1)
        return chosen_N, rejected_N

    def loss(self, backbone: Backbone, items: Sequence[PairItem], *, count: float) -> Tensor:
        """Return the Bradley-Terry loss."""
        chosen_N, rejected_N = self.scores(backbone, items)
        margin_N, label_N, weight_N = chosen_N.new_tensor([[i.margin, i.label, i.weight] for i in items]).unbind(1)
        loss_N = bradley_terry_loss(chosen_N, rejected_N, margin_B=margin_N, label_B=label_N, centring=self.centring)
        return (weight_N * loss_N).sum() / count


class ValueLoss:
    """Value model: half the squared distance of each token's value to its target, which depends on the reward.

    Args:
        of: whether a value is read before its token (of the state) or at it (of the action).
    """

    role = "value"

    def __init__(
        self, *, targets: ValueTargets, gamma: float, gae_lambda: float, of: Literal["state", "action"]
    ) -> None:
        self.targets, self.gamma, self.gae_lambda, self.of = targets, gamma, gae_lambda, of

    def weight(self, item: RewardedItem) -> float:
        """Return the tokens of the response."""
        return len(item.response)

    def sequences(self, item: RewardedItem) -> Sequence[Tokens]:
        """Return the prompt with its response."""
        return [[*item.prompt, *item.response]]

    def values(self, backbone: Backbone, items: Sequence[RewardedItem]) -> tuple[Tensor, Tensor]:
        """Return the values of the response tokens, and where these are."""
        batch = lay_out([item.prompt for item in items], [item.response for item in items], pad=backbone.tokens.pad)
        value_NR = response_values(backbone, batch, of=self.of)
        return value_NR, batch.mask_NR.to(value_NR.device)

    def loss(self, backbone: Backbone, items: Sequence[RewardedItem], *, count: float) -> Tensor:
        """Return the squared error."""
        value_NR, mask_NR = self.values(backbone, items)
        reward_NR = reward_at_last_token(value_NR.new_tensor([item.reward for item in items]), mask_NR)
        target_NR = value_targets(
            reward_NR, value_NR, mask_NR, targets=self.targets, gamma=self.gamma, gae_lambda=self.gae_lambda
        )
        return 0.5 * masked_sum((value_NR - target_NR).square(), mask_NR) / count


class JudgeLoss:
    """Judge: binary cross-entropy of P(yes) for each question; a rubric's questions share the dialogue."""

    role = "judge"

    def weight(self, item: QuestionsItem) -> float:
        """Return the number of questions."""
        return len(item.prompts)

    def sequences(self, item: QuestionsItem) -> Sequence[Tokens]:
        """Return the questions."""
        return item.prompts

    def loss(self, backbone: Backbone, items: Sequence[QuestionsItem], *, count: float) -> Tensor:
        """Return the cross-entropy."""
        logit_N = yes_logits(backbone, pack([item.prompts for item in items], pad=backbone.tokens.pad))
        answer_N = torch.tensor([a for item in items for a in item.answers], dtype=logit_N.dtype, device=logit_N.device)
        return binary_cross_entropy_with_logits(logit_N, answer_N, reduction="sum") / count
