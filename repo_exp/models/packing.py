"""Sequences that begin alike share the computation of what they have in common.

A group of sequences (a pair of replies, a rubric's questions) becomes one row: the common prefix once,
then each rest as a branch that sees the prefix and itself. The positions of a branch go on where the
prefix ended, so the hidden states are those of separate rows. What all rows begin with, an SOP that heads every
context, is marked, so that a decoder can compute it once for all of them.

Legend: B rows, T columns of a row, N sequences, L tokens of the longest sequence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WORTH_SHARING = 8  # tokens of a beginning common to rows below which computing it apart saves nothing
WIDEST = 4  # times its budget that a chunk may have if the common beginning is counted in every row: all look at it


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows ready for a decoder, and where each token of each sequence went.

    Attributes:
        token_BT: token ids, padded on the right.
        position_BT: the position of each token in its own sequence.
        allowed_B1TT: True where the query (row) may look at the key (column).
        row_N: the row of each sequence.
        column_NL: the column of each token of each sequence; 0 behind its end.
        length_N: the tokens of each sequence.
        shared: how many columns at the left are the same in all rows; 0 where computing them once is not worth it.
    """

    token_BT: Tensor
    position_BT: Tensor
    allowed_B1TT: Tensor
    row_N: Tensor
    column_NL: Tensor
    length_N: Tensor
    shared: int = 0

    def attention_bias(self, dtype: torch.dtype) -> Tensor:
        """Return the mask as it is added to attention scores: 0 where allowed, the lowest number elsewhere."""
        bias = torch.zeros(self.allowed_B1TT.shape, dtype=dtype)
        return bias.masked_fill_(~self.allowed_B1TT, torch.finfo(dtype).min)

    def gather(self, hidden_BTH: Tensor, index_NR: Tensor) -> Tensor:
        """Return the hidden states at token ``index_NR`` of each sequence: (N, R, H)."""
        return hidden_BTH[self.row_N[:, None], self.column_NL.gather(1, index_NR)]


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens all sequences share, leaving each at least its last token."""
    low, high = min(sequences), max(sequences)  # as words are sorted: what these two share lies in all between them
    parted = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return max(0, min(parted, min(map(len, sequences)) - 1))


def shared_beginning(rows: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens are worth computing once for all rows: their common prefix, or 0."""
    shared = common_prefix(rows) if len(rows) > 1 else 0
    return shared if shared >= WORTH_SHARING else 0


def _unbranched(sequences: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return a row up to where its sequences part, and one token more, which the row needs to itself."""
    return sequences[0][: common_prefix(sequences) + 1]


def packed_length(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many columns a group takes: the common prefix once, and every rest."""
    prefix = common_prefix(sequences)
    return prefix + sum(len(sequence) - prefix for sequence in sequences)


def chunks(
    groups: Sequence[Sequence[Sequence[int]]], budget: int, *, sharing: bool = True, apart: bool = False
) -> Iterator[list[int]]:
    """Yield the indices of groups, like lengths together, in chunks whose rows take at most ``budget`` tokens.

    Padding counts, so memory hangs on the budget and not on how long sequences are; a longer group comes alone. Where
    rows share what all of them begin with, that counts once, and may be half of a chunk, however small the budget: it
    is not computed anew for every single row; but all rows look at it, so that side by side they have no more than
    ``WIDEST`` times as many tokens. There are as few chunks as that allows, and the fullest is as small as can be.
    With ``apart`` every sequence has a row of its own, so a group takes as many tokens as its rows side by side.
    """
    lengths = [len(group) * max(map(len, group)) if apart else packed_length(group) for group in groups]
    shared = shared_beginning([_unbranched(group) for group in groups]) if sharing else 0
    order = sorted(range(len(groups)), key=lambda i: (lengths[i], i))

    def cut(room: int) -> list[list[int]]:
        found: list[list[int]] = []
        for i in order:
            rows = len(found[-1]) + 1 if found else 0
            if rows == 0 or shared + rows * (lengths[i] - shared) > room or rows * lengths[i] > WIDEST * room:
                found.append([])
            found[-1].append(i)
        return found

    most = max(budget, 2 * shared)
    fewest = len(cut(most))
    yield from cut(bisect_left(range(most), True, key=lambda room: len(cut(room)) <= fewest))


def pack(groups: Sequence[Sequence[Sequence[int]]], *, pad: int) -> Packed:
    """Lay each group of token sequences out as one row.

    Args:
        groups: per row the sequences that share it; each has at least one token.
        pad: the id that fills up short rows; it is never looked at.
    """
    rows: list[tuple[list[int], list[int], list[int]]] = []  # tokens, positions, branch (0: the prefix)
    row_of: list[int] = []
    columns: list[list[int]] = []
    for row, sequences in enumerate(groups):
        if not sequences or not all(sequences):
            raise ValueError(
                f"pack needs at least one sequence of at least one token in each group; group {row} lacks it"
            )
        prefix = common_prefix(sequences)
        tokens, positions, branch = list(sequences[0][:prefix]), list(range(prefix)), [0] * prefix
        for number, sequence in enumerate(sequences, start=1):
            start, rest = len(tokens), len(sequence) - prefix
            columns.append([*range(prefix), *range(start, start + rest)])
            row_of.append(row)
            tokens += sequence[prefix:]
            positions += range(prefix, len(sequence))
            branch += [number] * rest
        rows.append((tokens, positions, branch))

    def padded(lists: Sequence[Sequence[int]], fill: int) -> Tensor:
        width = max(map(len, lists))
        return torch.tensor([[*items, *[fill] * (width - len(items))] for items in lists])

    token_BT = padded([tokens for tokens, _, _ in rows], pad)
    position_BT = padded([positions for _, positions, _ in rows], 0)
    branch_BT = padded([branch for _, _, branch in rows], -1)
    causal_TT = torch.ones(token_BT.shape[1], token_BT.shape[1], dtype=torch.bool).tril()
    same_BTT = branch_BT[:, :, None] == branch_BT[:, None, :]
    # padding has branch -1: it sees itself, so that its softmax has something to sum to, and nobody sees it
    allowed_BTT = causal_TT & (same_BTT | (branch_BT[:, None, :] == 0)) & ((branch_BT[:, None, :] >= 0) | same_BTT)
    return Packed(
        token_BT,
        position_BT,
        allowed_BTT[:, None],
        torch.tensor(row_of),
        padded(columns, 0),
        torch.tensor([len(column) for column in columns]),
        shared_beginning([_unbranched(sequences) for sequences in groups]),
    )
