"""A round of replies as it is learnt from, and how it is cut: into minibatches, microbatches and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repo_exp.models.passes import ReplyBatch, lay_out
from repo_exp.rollout.sampler import Sampled
from repo_exp.types import Context, RewardBreakdown

Chunks = Callable[[Sequence[Sequence[Sequence[int]]], int], Iterator[list[int]]]


@dataclass(frozen=True, slots=True)
class Experience:
    """One batch of replies that can be learnt from, and what was known of them before learning.

    ``group_B`` numbers what is compared: replies to the same context that lack the same scores have the same number.
    ``places`` are those of the replies in the round, of which some may have no total.
    """

    contexts: list[list[int]]
    replies: list[Sampled]
    total_B: Tensor
    group_B: Tensor
    mask_BT: Tensor
    sources: dict[str, Tensor]
    places: Sequence[int] = ()

    @staticmethod
    def of(
        contexts: Sequence[Context],
        prompts: Sequence[list[int]],
        sampled: Sequence[Sampled],
        breakdowns: Sequence[RewardBreakdown],
        usable: Sequence[int],
    ) -> Experience:
        """Return what can be learnt from: the replies whose total is there.

        Totals that lack different scores are not of one measure, so replies are compared with those that lack the same.
        """
        replies = [sampled[i] for i in usable]
        length_B = torch.tensor([len(reply.tokens) for reply in replies])
        mask_BT = torch.arange(int(length_B.max()))[None] < length_B[:, None]
        total_B = torch.tensor([breakdowns[i].total for i in usable], dtype=torch.float32)
        numbers: dict[tuple[str, ...], int] = {}
        alike = [(contexts[i].id, *breakdowns[i].lacks) for i in usable]
        group_B = torch.tensor([numbers.setdefault(key, len(numbers)) for key in alike])
        sources = {
            name: torch.tensor([breakdowns[i].sources[name].value for i in usable], dtype=torch.float32)
            for name in breakdowns[usable[0]].sources
        }
        return Experience([prompts[i] for i in usable], replies, total_B, group_B, mask_BT, sources, usable)

    def part(self, chosen: Sequence[int], *, pad: int) -> ReplyBatch:
        """Return some of the replies, laid out for a pass; neighbours with the same context share a row."""
        return lay_out([self.contexts[i] for i in chosen], [self.replies[i].tokens for i in chosen], pad=pad)

    def grouped(self, part: Sequence[int]) -> list[list[int]]:
        """Return the replies of a part, those to the same context together."""
        found: dict[int, list[int]] = {}
        for i in part:
            found.setdefault(int(self.group_B[i]), []).append(i)
        return list(found.values())

    def length(self, group: Sequence[int]) -> int:
        """Return the tokens of replies to one context, the context counted once."""
        return len(self.contexts[group[0]]) + sum(len(self.replies[i].tokens) for i in group)

    def microbatches(
        self, part: Sequence[int], *, tokens: int, whole_groups: bool, chunks: Chunks, packs: bool = True
    ) -> Iterator[list[int]]:
        """Yield the replies of a part in microbatches of like length, replies to the same context side by side.

        Args:
            part: indices of the replies.
            tokens: what a microbatch may take.
            whole_groups: replies to the same context are never parted.
            chunks: cuts rows as the passes that read them can take them: :meth:`Backbone.chunks`.
            packs: do replies to the same context share the computation of it? If not, they need not stay together.
        """
        groups = self.grouped(part)
        if not whole_groups and not packs:
            groups = [[i] for group in groups for i in group]
        elif not whole_groups:
            groups = [piece for group in groups for piece in self._pieces(group, tokens)]
        rows = [[[*self.contexts[i], *self.replies[i].tokens] for i in group] for group in groups]
        for chosen in chunks(rows, tokens):
            yield [i for k in chosen for i in groups[k]]

    def _pieces(self, group: Sequence[int], tokens: int) -> Iterator[list[int]]:
        """Cut a group whose row would be longer than a microbatch; a long context is not repeated for few replies."""
        room = max(tokens, 2 * len(self.contexts[group[0]]))
        piece: list[int] = []
        for i in group:
            if piece and self.length([*piece, i]) > room:
                yield piece
                piece = []
            piece.append(i)
        yield piece


class Cut:
    """Cuts a batch's numbers down to some replies and to the columns that their microbatch has."""

    def __init__(self, chosen: Sequence[int], width: int, device: torch.device) -> None:
        self.chosen, self.width, self.device = list(chosen), width, device

    def __call__(self, whole_BT: Tensor | None) -> Tensor | None:
        return None if whole_BT is None else whole_BT[self.chosen, : self.width].to(self.device)


def split(order: Sequence[list[int]], parts: int) -> Iterator[Sequence[list[int]]]:
    """Cut into ``parts`` runs whose sizes differ by at most one; none is empty."""
    size, rest = divmod(len(order), parts)
    start = 0
    for number in range(parts):
        end = start + size + (number < rest)
        if end > start:
            yield order[start:end]
        start = end
