"""What the supervised stages minimise: SFT, reward and value model, judge, each over prepared token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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
from repo_exp.models.packing import pack
from repo_exp.models.passes import final_scores, lay_out, reply_logp, reply_values, yes_logits

Tokens = Sequence[int]


class Objective(Protocol):
    """A loss over items.

    ``weight`` is what an item counts; a step divides by the weight of its whole batch. ``sequences`` are the token
    sequences of an item, which share a row.
    """

    role: str

    def weight(self, item) -> float: ...
    def sequences(self, item) -> Sequence[Tokens]: ...
    def loss(self, backbone: Backbone, items: Sequence, *, count: float) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class ReplyItem:
    """A context and the reply to imitate."""

    context: Tokens
    reply: Tokens

    @property
    def shown(self) -> Tokens:
        """What a message shows of it."""
        return self.reply


@dataclass(frozen=True, slots=True)
class PairItem:
    """A context, the better and the worse reply to it, or two that tie (``label`` 0.5); see ``core/preference.py``."""

    context: Tokens
    chosen: Tokens
    rejected: Tokens
    margin: float = 0.0
    label: float = 1.0
    weight: float = 1.0

    @property
    def sequences(self) -> list[list[int]]:
        """The context with either reply: they share a row."""
        return [[*self.context, *self.chosen], [*self.context, *self.rejected]]

    @property
    def shown(self) -> Tokens:
        """What a message shows of it."""
        return self.chosen


@dataclass(frozen=True, slots=True)
class WorthItem:
    """A context, a reply to it, and what the whole reply is worth."""

    context: Tokens
    reply: Tokens
    worth: float

    @property
    def shown(self) -> Tokens:
        """What a message shows of it."""
        return self.reply


@dataclass(frozen=True, slots=True)
class QuestionsItem:
    """The prompts of a rubric's questions about one reply, and the right answers."""

    prompts: Sequence[Tokens]
    answers: Sequence[bool]

    @property
    def shown(self) -> Tokens:
        """What a message shows of it."""
        return self.prompts[0]


class Imitation:
    """SFT: minus the mean log-probability of the reply tokens, in nats a token."""

    role = "policy"

    def weight(self, item: ReplyItem) -> float:
        return len(item.reply)

    def sequences(self, item: ReplyItem) -> Sequence[Tokens]:
        return [[*item.context, *item.reply]]

    def loss(self, backbone: Backbone, items: Sequence[ReplyItem], *, count: float) -> Tensor:
        batch = lay_out([item.context for item in items], [item.reply for item in items], pad=backbone.tokens.pad)
        logp_NR, _ = reply_logp(backbone, batch)
        return negative_log_likelihood(logp_NR, batch.mask_NR.to(logp_NR.device), count=count)


class Preferring:
    """Reward model: Bradley-Terry over pairs; the two replies of a pair share the computation of their context."""

    role = "reward"

    def __init__(self, *, centring: float) -> None:
        self.centring = centring

    def weight(self, item: PairItem) -> float:
        return item.weight

    def sequences(self, item: PairItem) -> Sequence[Tokens]:
        return item.sequences

    def scores(self, backbone: Backbone, items: Sequence[PairItem]) -> tuple[Tensor, Tensor]:
        """Return the raw scores of the chosen and of the rejected replies."""
        packed = pack([item.sequences for item in items], pad=backbone.tokens.pad)
        chosen_N, rejected_N = final_scores(backbone, packed).view(-1, 2).unbind(1)
        return chosen_N, rejected_N

    def loss(self, backbone: Backbone, items: Sequence[PairItem], *, count: float) -> Tensor:
        chosen_N, rejected_N = self.scores(backbone, items)
        margin_N, label_N, weight_N = chosen_N.new_tensor([[i.margin, i.label, i.weight] for i in items]).unbind(1)
        loss_N = bradley_terry_loss(chosen_N, rejected_N, margin_B=margin_N, label_B=label_N, centring=self.centring)
        return (weight_N * loss_N).sum() / count


class Valuing:
    """Value model: half the squared distance of each token's value to its target, which hangs on a reply's worth.

    Args:
        of: whether a value is read before its token (of the state) or at it (of the action).
    """

    role = "value"

    def __init__(
        self, *, targets: ValueTargets, gamma: float, gae_lambda: float, of: Literal["state", "action"]
    ) -> None:
        self.of, self.how = of, {"targets": targets, "gamma": gamma, "gae_lambda": gae_lambda}

    def weight(self, item: WorthItem) -> float:
        return len(item.reply)

    def sequences(self, item: WorthItem) -> Sequence[Tokens]:
        return [[*item.context, *item.reply]]

    def values(self, backbone: Backbone, items: Sequence[WorthItem]) -> tuple[Tensor, Tensor]:
        """Return the values of the reply tokens, and where these are."""
        batch = lay_out([item.context for item in items], [item.reply for item in items], pad=backbone.tokens.pad)
        value_NR = reply_values(backbone, batch, of=self.of)
        return value_NR, batch.mask_NR.to(value_NR.device)

    def loss(self, backbone: Backbone, items: Sequence[WorthItem], *, count: float) -> Tensor:
        value_NR, mask_NR = self.values(backbone, items)
        reward_NR = reward_at_last_token(value_NR.new_tensor([item.worth for item in items]), mask_NR)
        target_NR = value_targets(reward_NR, value_NR, mask_NR, **self.how)
        return 0.5 * masked_sum((value_NR - target_NR).square(), mask_NR) / count


class Judging:
    """Judge: binary cross-entropy of P(yes) for each question; a rubric's questions share the dialogue."""

    role = "judge"

    def weight(self, item: QuestionsItem) -> float:
        return len(item.prompts)

    def sequences(self, item: QuestionsItem) -> Sequence[Tokens]:
        return item.prompts

    def loss(self, backbone: Backbone, items: Sequence[QuestionsItem], *, count: float) -> Tensor:
        logit_N = yes_logits(backbone, pack([item.prompts for item in items], pad=backbone.tokens.pad))
        answer_N = torch.tensor([a for item in items for a in item.answers], dtype=logit_N.dtype, device=logit_N.device)
        return binary_cross_entropy_with_logits(logit_N, answer_N, reduction="sum") / count
