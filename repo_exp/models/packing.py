"""Sequences that begin alike share the computation of what they have in common.

A group of sequences (a pair of replies, a rubric's questions about two replies) becomes one row, laid out as a trie:
every distinct beginning once, and behind it what goes on from there. A token sees what it has before it in its own
sequence and nothing else, and positions go on where the beginning ended, so the hidden states are those of separate
rows. What all rows begin with, an SOP that heads every context, is marked, so that a decoder can compute it once for
all of them.

Legend: B rows, T columns, N sequences, L tokens of the longest sequence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WORTH_SHARING = 8  # tokens of a beginning common to rows below which computing it apart saves nothing
LONGEST_ROW = 512  # columns up to which groups that begin alike are put into one row: attention looks at all of them
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
        width_B: the columns of each row that are no padding.
        shared: how many columns at the left are the same in all rows; 0 where computing them once is not worth it.
    """

    token_BT: Tensor
    position_BT: Tensor
    allowed_B1TT: Tensor
    row_N: Tensor
    column_NL: Tensor
    length_N: Tensor
    width_B: Tensor
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
    """Return how many columns a group takes: every distinct beginning once."""
    if len(sequences) == 1:
        return len(sequences[0])
    return len(_Trie(sequences).tokens)


class _Trie:
    """Sequences laid out in one row, each from where it parts from those before it.

    Attributes:
        tokens, positions: of each column.
        columns: of each sequence, where its tokens stand.
        segments: (column it goes on behind, first column, end) of each run of columns that one sequence added;
            -1 where it goes on behind nothing.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.columns: list[list[int]] = []
        self.segments: list[tuple[int, int, int]] = []
        following: dict[tuple[int, int], int] = {}  # (column, next token) -> its column
        for sequence in sequences:
            path, column, length = [], -1, len(sequence)
            for token in sequence:
                known = following.get((column, token))
                if known is None:
                    break
                path.append(known)
                column = known
            start = len(self.tokens)
            new = range(start, start + length - len(path))
            if new:
                self.segments.append((column, start, new.stop))
            for place, token in zip(new, sequence[len(path) :], strict=True):
                following[column, token] = place
                column = place
            self.tokens += sequence[len(path) :]
            self.positions += range(len(path), length)
            self.columns.append([*path, *new])

    def allowed(self, columns: int) -> Tensor:
        """Return which column (row) may look at which (column): (columns, columns); padding sees itself alone."""
        allowed_TT = torch.eye(columns, dtype=torch.bool)
        for behind, start, end in self.segments:
            if behind >= 0:  # what the column that it goes on behind may look at
                allowed_TT[start:end] |= allowed_TT[behind]
            allowed_TT[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        return allowed_TT


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


def alike(groups: Sequence[Sequence[Sequence[int]]], *, longest: int = LONGEST_ROW) -> list[list[int]]:
    """Return the indices of groups, those together that begin alike, so that one row can compute their beginning once.

    Replies to one context, or to two stops of one dialogue, come together. A group joins a row if it shares at least
    half of its columns with the group before it, and the row stays within ``longest`` columns.
    """
    order = sorted((i for i in range(len(groups)) if groups[i]), key=lambda i: (list(groups[i][0]), i))
    rows: list[list[int]] = []
    for i in order:
        if rows:
            mates = [sequence for k in rows[-1] for sequence in groups[k]]
            shared = common_prefix([groups[rows[-1][-1]][0], groups[i][0]])
            fits = 2 * shared >= packed_length(groups[i]) and packed_length([*mates, *groups[i]]) <= longest
            if fits:
                rows[-1].append(i)
                continue
        rows.append([i])
    return rows


def pack(groups: Sequence[Sequence[Sequence[int]]], *, pad: int) -> Packed:
    """Lay each group of token sequences out as one row.

    Args:
        groups: per row the sequences that share it; each has at least one token.
        pad: the id that fills up short rows; it is never looked at.
    """
    rows: list[_Trie] = []
    for row, sequences in enumerate(groups):
        if not sequences or not all(sequences):
            raise ValueError(
                f"pack needs at least one sequence of at least one token in each group; group {row} lacks it"
            )
        rows.append(_Trie(sequences))

    def padded(lists: Sequence[Sequence[int]], fill: int) -> Tensor:
        width = max(map(len, lists))
        return torch.tensor([[*items, *[fill] * (width - len(items))] for items in lists])

    token_BT = padded([row.tokens for row in rows], pad)
    columns = [columns for row in rows for columns in row.columns]
    return Packed(
        token_BT,
        padded([row.positions for row in rows], 0),
        torch.stack([row.allowed(token_BT.shape[1]) for row in rows])[:, None],
        torch.tensor([number for number, row in enumerate(rows) for _ in row.columns]),
        padded(columns, 0),
        torch.tensor([len(each) for each in columns]),
        torch.tensor([len(row.tokens) for row in rows]),
        shared_beginning([_unbranched(sequences) for sequences in groups]),
    )
