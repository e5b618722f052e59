"""Sequences with a common prefix share its computation.

A group of sequences (a pair of responses, a rubric's questions about two responses) becomes one row, laid out as a
trie: every distinct prefix once, and behind it each continuation. A token attends to the tokens before it in its own
sequence and nothing else, and positions continue where the prefix ended, so the hidden states are those of separate
rows. A prefix that all rows share, such as an SOP at the top of every prompt, is marked, so that a decoder can compute
it once for all of them.

Legend: B rows, T columns, N sequences, L tokens of the longest sequence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WORTH_SHARING = 8  # tokens of a prefix shared by rows below which computing it once saves nothing
LONGEST_ROW = 512  # columns up to which groups with a common prefix are put into one row: attention covers all of them
WIDEST = 4  # times its budget that a chunk may have if the shared prefix is counted in every row: all attend to it


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows ready for a decoder, and the column of each token of each sequence.

    Attributes:
        token_BT: token ids, padded on the right.
        position_BT: the position of each token in its own sequence.
        allowed_B1TT: True where the query (row) may attend to the key (column).
        row_N: the row of each sequence.
        column_NL: the column of each token of each sequence; 0 behind its end.
        length_N: the tokens of each sequence.
        width_B: the columns of each row that are not padding.
        shared: the length of the prefix that all rows share; 0 where computing it once does not pay.
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


def padded(rows: Sequence[Sequence[int]], fill: int, *, left: bool = False, width: int | None = None) -> Tensor:
    """Return rows of different lengths as one tensor, filled up on the right, or on the left."""
    width = max(map(len, rows)) if width is None else width
    short = [[fill] * (width - len(row)) for row in rows]
    return torch.tensor([[*s, *row] if left else [*row, *s] for s, row in zip(short, rows, strict=True)])


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens all sequences share, leaving each at least its last token."""
    # in lexicographic order: a prefix of these two is one of all
    low, high = min(map(list, sequences)), max(map(list, sequences))
    differ = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return max(0, min(differ, min(map(len, sequences)) - 1))


def shared_prefix_length(rows: Sequence[Sequence[int]]) -> int:
    """Return the length of the prefix to compute once for all rows: their common one, or 0."""
    shared = common_prefix(rows) if len(rows) > 1 else 0
    return shared if shared >= WORTH_SHARING else 0


def _unbranched(sequences: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return a row up to where its sequences diverge, and one token more, which the row needs to itself."""
    return sequences[0][: common_prefix(sequences) + 1]


def packed_length(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many columns a group takes: every distinct prefix once."""
    if len(sequences) == 1:
        return len(sequences[0])
    return len(_Trie(sequences).tokens)


class _Trie:
    """Sequences laid out in one row, each from where it diverges from those before it.

    Attributes:
        tokens, positions: of each column.
        columns: of each sequence, the columns of its tokens.
        segments: (column it continues, first column, end) of each run of columns that one sequence added;
            -1 where it continues none.
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
                child = following.get((column, token))
                if child is None:
                    break
                path.append(child)
                column = child
            start = len(self.tokens)
            new = range(start, start + length - len(path))
            if new:
                self.segments.append((column, start, new.stop))
            for child, token in zip(new, sequence[len(path) :], strict=True):
                following[column, token] = child
                column = child
            self.tokens += sequence[len(path) :]
            self.positions += range(len(path), length)
            self.columns.append([*path, *new])

    def allowed(self, columns: int) -> Tensor:
        """Return which column (row) may attend to which (column): (columns, columns); padding only to itself."""
        allowed_TT = torch.eye(columns, dtype=torch.bool)
        for parent, start, end in self.segments:
            if parent >= 0:  # all that the column before it may attend to
                allowed_TT[start:end] |= allowed_TT[parent]
            allowed_TT[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        return allowed_TT


def chunks(
    groups: Sequence[Sequence[Sequence[int]]], budget: int, *, sharing: bool = True, separate: bool = False
) -> Iterator[list[int]]:
    """Yield the indices of groups, similar lengths together, in chunks whose rows take at most ``budget`` tokens.

    Padding counts, so memory depends on the budget and not on how long sequences are; a longer group comes alone. A
    prefix that rows share counts once, and may be half of a chunk, however small the budget, so that it is not computed
    again for every single row; but all rows attend to it, so their columns are at most ``WIDEST`` times the budget.
    There are as few chunks as that allows, and the fullest is as small as can be.

    Args:
        sharing: is a prefix that all rows share computed once?
        separate: has every sequence a row of its own? Then a group takes as many tokens as its padded rows.
    """
    lengths = [len(group) * max(map(len, group)) if separate else packed_length(group) for group in groups]
    shared = shared_prefix_length([_unbranched(group) for group in groups]) if sharing else 0
    order = sorted(range(len(groups)), key=lambda i: (lengths[i], i))

    def split(room: int) -> list[list[int]]:
        found: list[list[int]] = []
        for i in order:
            rows = len(found[-1]) + 1 if found else 0
            if rows == 0 or shared + rows * (lengths[i] - shared) > room or rows * lengths[i] > WIDEST * room:
                found.append([])
            found[-1].append(i)
        return found

    most = max(budget, 2 * shared)
    fewest = len(split(most))
    yield from split(bisect_left(range(most), True, key=lambda room: len(split(room)) <= fewest))


def group_by_prefix(groups: Sequence[Sequence[Sequence[int]]], *, longest: int = LONGEST_ROW) -> list[list[int]]:
    """Return the indices of groups in lists: those with a common prefix together, so that one row computes it once.

    Responses to one prompt, or to two turns of one dialogue, come together. A group joins a list if it shares at least
    half of its columns with the group before it, and the row stays within ``longest`` columns.
    """
    order = sorted((i for i in range(len(groups)) if groups[i]), key=lambda i: (list(groups[i][0]), i))
    rows: list[list[int]] = []
    for i in order:
        if rows:
            row = [sequence for k in rows[-1] for sequence in groups[k]]
            shared = common_prefix([groups[rows[-1][-1]][0], groups[i][0]])
            if 2 * shared >= packed_length(groups[i]) and packed_length([*row, *groups[i]]) <= longest:
                rows[-1].append(i)
                continue
        rows.append([i])
    return rows


def pack(groups: Sequence[Sequence[Sequence[int]]], *, pad: int) -> Packed:
    """Lay each group of token sequences out as one row.

    Args:
        groups: per row the sequences that share it; each has at least one token.
        pad: the id that fills up short rows; no token attends to it.

    Raises:
        ValueError: a group without a sequence, or a sequence without a token.
    """
    rows: list[_Trie] = []
    for row, sequences in enumerate(groups):
        if not sequences or not all(sequences):
            raise ValueError(
                f"pack needs at least one sequence of at least one token in each group; group {row} lacks it"
            )
        rows.append(_Trie(sequences))

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
        shared_prefix_length([_unbranched(sequences) for sequences in groups]),
    )
