"""What the supervised stages minimise: SFT, reward model and judge, each over prepared token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from repo_exp.core.diagnostics import negative_log_likelihood
from repo_exp.core.preference import bradley_terry_loss
from repo_exp.models.backbone import Backbone
from repo_exp.models.packing import pack, packed_length
from repo_exp.models.passes import final_scores, lay_out, reply_logp, yes_logits

Tokens = Sequence[int]


class Objective(Protocol):
    """A loss over items. ``weight`` is what an item counts; a step divides by the weight of its whole batch."""

    role: str

    def weight(self, item) -> float: ...
    def length(self, item) -> int: ...
    def loss(self, backbone: Backbone, items: Sequence, *, count: float) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class ReplyItem:
    """A context and the reply to imitate."""

    context: Tokens
    reply: Tokens


@dataclass(frozen=True, slots=True)
class PairItem:
    """A context, the better and the worse reply to it."""

    context: Tokens
    chosen: Tokens
    rejected: Tokens


@dataclass(frozen=True, slots=True)
class QuestionsItem:
    """The prompts of a rubric's questions about one reply, and the right answers."""

    prompts: Sequence[Tokens]
    answers: Sequence[bool]


class Imitation:
    """SFT: minus the mean log-probability of the reply tokens, in nats a token."""

    role = "policy"

    def weight(self, item: ReplyItem) -> float:
        return len(item.reply)

    def length(self, item: ReplyItem) -> int:
        return len(item.context) + len(item.reply)

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
        return 1.0

    def length(self, item: PairItem) -> int:
        return packed_length([[*item.context, *item.chosen], [*item.context, *item.rejected]])

    def scores(self, backbone: Backbone, items: Sequence[PairItem]) -> tuple[Tensor, Tensor]:
        """Return the raw scores of the chosen and of the rejected replies."""
        groups = [[[*i.context, *i.chosen], [*i.context, *i.rejected]] for i in items]
        chosen_N, rejected_N = final_scores(backbone, pack(groups, pad=backbone.tokens.pad)).view(-1, 2).unbind(1)
        return chosen_N, rejected_N

    def loss(self, backbone: Backbone, items: Sequence[PairItem], *, count: float) -> Tensor:
        chosen_N, rejected_N = self.scores(backbone, items)
        return bradley_terry_loss(chosen_N, rejected_N, centring=self.centring).sum() / count


class Judging:
    """Judge: binary cross-entropy of P(yes) for each question; a rubric's questions share the dialogue."""

    role = "judge"

    def weight(self, item: QuestionsItem) -> float:
        return len(item.prompts)

    def length(self, item: QuestionsItem) -> int:
        return packed_length(item.prompts)

    def loss(self, backbone: Backbone, items: Sequence[QuestionsItem], *, count: float) -> Tensor:
        logit_N = yes_logits(backbone, pack([item.prompts for item in items], pad=backbone.tokens.pad))
        answer_N = torch.tensor([a for item in items for a in item.answers], dtype=logit_N.dtype, device=logit_N.device)
        return binary_cross_entropy_with_logits(logit_N, answer_N, reduction="sum") / count
